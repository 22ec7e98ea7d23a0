from cyberlab_hub.throttle import Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_five_tries_then_a_wait_then_again() -> None:
    clock = Clock()
    throttle = Throttle(5, 600, clock)
    for _ in range(5):
        assert throttle.blocked_for("anna") == 0
        throttle.tries("anna")
    assert throttle.blocked_for("anna") == 600
    assert throttle.blocked_for("ben") == 0
    clock.now += 599
    assert throttle.blocked_for("anna") == 1
    clock.now += 1
    assert throttle.blocked_for("anna") == 0
    throttle.tries("anna")
    assert throttle.blocked_for("anna") == 0, "the count did not begin again"


def test_tries_that_are_still_running_count() -> None:
    throttle = Throttle(5, 600, Clock())
    for _ in range(5):
        throttle.tries("anna")  # none of them has ended
    assert throttle.blocked_for("anna") > 0


def test_success_forgives() -> None:
    throttle = Throttle(5, 600, Clock())
    for _ in range(4):
        throttle.tries("anna")
    throttle.succeeded("anna")
    throttle.tries("anna")
    assert throttle.blocked_for("anna") == 0
