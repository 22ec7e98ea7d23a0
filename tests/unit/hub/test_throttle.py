import pytest
from cyberlab_hub import throttle as throttle_module
from cyberlab_hub.addresses import client_of, of_this_machine
from cyberlab_hub.throttle import Throttle, machine_of


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


def test_one_good_try_takes_back_itself_and_no_other() -> None:
    throttle = Throttle(5, 600, Clock())
    for _ in range(4):
        throttle.tries("192.0.2.1")
    throttle.tries("192.0.2.1")
    throttle.take_back("192.0.2.1")  # signing in with an own account does not wipe the slate
    assert throttle.blocked_for("192.0.2.1") == 0
    throttle.tries("192.0.2.1")
    assert throttle.blocked_for("192.0.2.1") == 600


def test_old_tries_are_forgotten() -> None:
    clock = Clock()
    throttle = Throttle(2, 600, clock)
    throttle.tries("anna")
    clock.now += 601
    throttle.tries("anna")
    assert throttle.blocked_for("anna") == 0


def test_memory_is_bounded() -> None:
    throttle = Throttle(2, 600, Clock())
    for number in range(throttle_module.REMEMBERED + 50):
        throttle.tries(str(number))
    assert len(throttle._tries) == throttle_module.REMEMBERED


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),  # the client claimed the first
        ("10.0.0.1", "1.2.3.4,not an address", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.77.8.5", "1.2.3.4", "10.77.8.5"),  # a user's server, straight to the hub
        ("10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ],
)
def test_only_the_proxys_own_word_is_believed(peer: str, forwarded: str, address: str) -> None:
    assert machine_of(client_of(peer, forwarded, lambda peer: peer == "10.0.0.1")) == address


def test_addresses_of_this_machine() -> None:
    assert of_this_machine("127.0.0.1")
    assert not of_this_machine("192.0.2.254")
    assert not of_this_machine("no address")
