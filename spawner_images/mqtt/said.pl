#!/usr/bin/perl
# Reads the broker's log. What people read goes on to standard output; which publish was denied, which login was
# refused and who subscribes to what goes to the gateway, that notes in the audit what was not theirs. The rest, two
# lines and more for each message, ends here.
#   said.pl SOCKET       a datagram is HOW_MANY_WERE_LOST_BEFORE, a blank, and the broker's lines as they are
# It never waits for the gateway: what cannot be handed over at once is counted.
use strict;
use warnings;
use Socket;

my $gateway = sockaddr_un($ARGV[0]);
socket(my $out, AF_UNIX, SOCK_DGRAM, 0) or die "no socket: $!";
$| = 1;
my $stamp = length "2026-01-01T00:00:00: ";
my %debug = map { $_ => 1 } "Receive", "Sending", "No will", "Will me";
my $lost = 0;
my $before = "";

sub hand_over {
    my $text = shift;
    chomp $text;
    # a gateway that has just started has a new socket: so it is named each time
    defined send($out, "$lost $text", MSG_DONTWAIT, $gateway) ? ($lost = 0) : $lost++;
}

while (my $line = <STDIN>) {
    my $begin = substr $line, $stamp < length $line ? $stamp : 0, 7;
    if ($debug{$begin}) {
        $before = $line;
        next;
    }
    if ($begin eq "Denied ") {
        hand_over(substr $line, $stamp);
        next;
    }
    if (substr($begin, 0, 1) eq "\t") {
        # a topic; the line before the first says whose wish it is
        hand_over(substr($before, $stamp) . substr($line, $stamp)) if $before =~ /: Received SUBSCRIBE from /;
        next;
    }
    # who is refused has no name; the line before says its address
    hand_over(substr($before, $stamp) . substr($line, $stamp))
        if $begin eq "Client " && $line =~ /disconnected, not authorised\.$/;
    $before = "";
    print $line;
}
