#!/usr/bin/perl
# Perl's Cache::Memcached: every method. Wants three servers: HOST:PORT,HOST:PORT,HOST:PORT
use strict;
use warnings;
use utf8;

use Cache::Memcached;
use Encode qw(encode_utf8 decode_utf8);
use Time::HiRes qw(sleep time);

my ($passed, $failed) = (0, 0);
my @servers = split /,/, shift // die "usage: $0 HOST:PORT[,HOST:PORT...]\n";
my $big = join('', map { chr } 0 .. 255) x 4090;

sub ok {
	my ($condition, $name, $detail) = @_;
	if ($condition) {
		$passed++;
	} else {
		$failed++;
		print "FAIL Cache::Memcached: $name", defined $detail ? ": $detail" : '', "\n";
	}
	return $condition;
}

sub brief {
	my ($value) = @_;
	return 'undef' unless defined $value;
	return length $value > 100 ? substr(encode_utf8($value), 0, 80) . '... (' . length($value) . ')' : $value;
}

sub equal {
	my ($got, $wanted, $name) = @_;
	my $same = defined $got ? defined $wanted && $got eq $wanted : !defined $wanted;
	return ok($same, $name, 'got ' . brief($got) . ', wanted ' . brief($wanted));
}

sub wait_until {
	my ($condition, $timeout_s) = @_;
	my $deadline = time + $timeout_s;
	until ($condition->()) {
		return 0 if time > $deadline;
		sleep 0.01;
	}
	return 1;
}

sub client {
	return Cache::Memcached->new({ servers => [$servers[0]], @_ });
}

sub storage {
	my $mc = client();
	ok($mc->flush_all, 'flush_all');
	equal($mc->get('absent'), undef, 'get of an absent key');
	ok($mc->set('a', '1'), 'set');
	equal($mc->get('a'), '1', 'get after set');
	ok(!$mc->add('a', '2'), 'add of a present key');
	ok($mc->add('b', '2'), 'add of an absent key');
	equal($mc->get('b'), '2', 'get after add');
	ok($mc->replace('b', '3'), 'replace of a present key');
	ok(!$mc->replace('c', '3'), 'replace of an absent key');
	ok($mc->append('b', '-after'), 'append');
	ok($mc->prepend('b', 'before-'), 'prepend');
	equal($mc->get('b'), 'before-3-after', 'get after append and prepend');
	ok(!$mc->append('c', 'x'), 'append to an absent key');
	ok(!$mc->prepend('c', 'x'), 'prepend to an absent key');
	ok($mc->delete('b'), 'delete of a present key');
	ok(!$mc->delete('b'), 'delete of an absent key');
	$mc->set('b', 'x');
	ok($mc->remove('b'), 'remove is delete');
	equal($mc->get('b'), undef, 'get after remove');
	ok($mc->set('empty', ''), 'set of nothing');
	equal($mc->get('empty'), '', 'get of nothing');
	ok($mc->set('k' x 250, 'long'), 'set with a key of 250 bytes');
	equal($mc->get('k' x 250), 'long', 'get with a key of 250 bytes');
	ok(!$mc->set('k' x 251, 'too long'), 'set with a key of 251 bytes');
	equal($mc->get('k' x 250), 'long', 'the client goes on after an error');
	ok($mc->set([7, 'hashed'], 'by number'), 'set with a hash value of its own');
	equal($mc->get([7, 'hashed']), 'by number', 'get with a hash value of its own');
}

sub values_of_all_kinds {
	my $mc = client();
	for my $length (1, 2, 253, 254, 255, 256, 1023, 1024, 2048, 4096, 16384, 65536, 262144, length $big) {
		my $data = substr $big, 0, $length;
		ok($mc->set('v', $data), "set of $length bytes");
		ok(($mc->get('v') // '') eq $data, "get of $length bytes");
	}
	ok(!$mc->set('v', 'x' x (1024 * 1024 + 1)), 'set over the item limit');
	equal($mc->get('v'), undef, 'set over the limit removes the old item');
	for my $data ("a\r\nEND\r\n", "\0" x 100, "\r", "\n", "VALUE v 0 1\r\nx\r\nEND\r\n", "0", " ") {
		ok($mc->set('v', $data), 'set of binary data');
		equal($mc->get('v'), $data, 'get of binary data');
	}
	my $text = encode_utf8("café € 日本語");
	ok($mc->set('unicode', $text), 'set of encoded text');
	equal(decode_utf8($mc->get('unicode')), 'café € 日本語', 'get of encoded text');
	my $key = encode_utf8('clé-日本');
	ok($mc->set($key, 'v'), 'set with an encoded key');
	equal($mc->get($key), 'v', 'get with an encoded key');
	ok($mc->set('struct', { list => [1, 2, { three => 3 }], text => 'x' }), 'set of a structure');
	my $struct = $mc->get('struct');
	ok(ref $struct eq 'HASH' && $struct->{list}[2]{three} == 3 && $struct->{text} eq 'x', 'get of a structure');
	ok($mc->set('array', [1 .. 20000]), 'set of a long array');
	equal(scalar @{ $mc->get('array') // [] }, 20000, 'get of a long array');
}

sub compression {
	my $mc = client(compress_threshold => 1000);
	my $data = 'abc' x 100000;
	ok($mc->set('zip', $data), 'set with compression');
	ok($mc->get('zip') eq $data, 'get with compression');
	my $plain = client();
	ok($plain->get('zip') eq $data, 'the flags tell every client');
	$mc->enable_compress(0);
	ok($mc->set('zip', $data), 'set with compression off');
	ok($mc->get('zip') eq $data, 'get with compression off');
	$mc->set_compress_threshold(10);
	$mc->enable_compress(1);
	ok($mc->set('zip', { a => $data }), 'set of a compressed structure');
	ok($mc->get('zip')->{a} eq $data, 'get of a compressed structure');
}

sub numbers {
	my $mc = client();
	$mc->delete('n');
	equal($mc->incr('n'), undef, 'incr of an absent key');
	equal($mc->decr('n'), undef, 'decr of an absent key');
	$mc->set('n', 10);
	equal($mc->incr('n'), 11, 'incr');
	equal($mc->incr('n', 89), 100, 'incr by 89');
	equal($mc->decr('n'), 99, 'decr');
	equal($mc->decr('n', 49), 50, 'decr by 49');
	equal($mc->decr('n', 1000), 0, 'decr stops at 0');
	equal($mc->incr('n', '18446744073709551615'), '18446744073709551615', 'incr to the largest');
	equal($mc->incr('n', 2), 1, 'incr wraps at 64 bits');
	$mc->set('word', 'abc');
	equal($mc->incr('word'), undef, 'incr of a word');
	equal($mc->get('word'), 'abc', 'a refused incr changes nothing');
	equal($mc->incr('n', -1), undef, 'incr by a negative number');
}

sub many {
	my $mc = Cache::Memcached->new({ servers => \@servers });
	my %data = map { ("m$_" => "value $_") } 1 .. 900;
	my $stored = grep { $mc->set($_, $data{$_}) } keys %data;
	equal($stored, 900, '900 sets over three servers');
	my $found = $mc->get_multi(keys %data);
	equal(scalar keys %$found, 900, 'get_multi of 900');
	equal(scalar(grep { $found->{$_} ne $data{$_} } keys %$found), 0, 'get_multi brings the right values');
	$found = $mc->get_multi('m1', 'none', 'm2');
	equal(join(',', map { "$_=$found->{$_}" } sort keys %$found), 'm1=value 1,m2=value 2', 'get_multi skips misses');
	equal(scalar keys %{ $mc->get_multi('none') }, 0, 'get_multi of a miss');
	my @held = map { my $one = Cache::Memcached->new({ servers => [$_] }); scalar keys %{ $one->get_multi(keys %data) } }
		@servers;
	equal($held[0] + $held[1] + $held[2], 900, 'each key is on one server');
	ok((grep { $_ > 100 } @held) == 3, 'every server has its share', "@held");
	my %large = map { ("large$_" => chr(64 + $_) x 200000) } 1 .. 12;
	$mc->set($_, $large{$_}) for keys %large;
	$found = $mc->get_multi(keys %large);
	equal(scalar(grep { ($found->{$_} // '') eq $large{$_} } keys %large), 12, 'get_multi of large values');
	ok($mc->delete('m1'), 'delete over three servers');
	ok($mc->flush_all, 'flush_all over three servers');
	equal(scalar keys %{ $mc->get_multi(keys %data) }, 0, 'flush_all reaches every server');
	my $weighted = Cache::Memcached->new({ servers => [[$servers[0], 3], $servers[1]], no_rehash => 1 });
	$weighted->set($_, 1) for 1 .. 200;
	my $first = scalar keys %{ client()->get_multi(1 .. 200) };
	ok($first > 100 && $first < 200, 'weights are kept', $first);
}

sub expiry {
	my $mc = client();
	my $now = CORE::time;
	$mc->set('short', 1, 1);
	$mc->add('short-add', 1, 1);
	$mc->set('short-date', 1, $now + 2);
	$mc->set('long', 1, 1000);
	$mc->set('date', 1, $now + 1000);
	$mc->set('past', 1, $now - 10);
	equal($mc->get('past'), undef, 'a date in the past');
	equal($mc->get('long'), 1, 'a long time');
	ok(wait_until(sub { !%{ $mc->get_multi('short', 'short-add', 'short-date') } }, 5), 'short times end');
	equal(join(',', sort keys %{ $mc->get_multi('long', 'date', 'short') }), 'date,long', 'long times do not');
	ok($mc->add('short', 2), 'add after expiry');
	ok(!$mc->replace('short-add', 2), 'replace after expiry');
	ok($mc->delete('long', 0), 'delete with a time of 0');
}

sub options {
	my $mc = client(namespace => 'space:');
	ok($mc->set('a', 'spaced'), 'set in a namespace');
	equal($mc->get('a'), 'spaced', 'get in a namespace');
	equal(client()->get('space:a'), 'spaced', 'the namespace is in the key');
	equal(join(',', %{ $mc->get_multi('a', 'none') }), 'a,spaced', 'get_multi in a namespace');
	my $reader = client(readonly => 1);
	ok(!$reader->set('space:a', 'x'), 'a read-only client does not set');
	equal($reader->get('space:a'), 'spaced', 'a read-only client gets');
	my $calls = 0;
	my $watched = client();
	$watched->set_stat_callback(sub { $calls++ });
	$watched->set('x', 1);
	$watched->incr('x');
	$watched->delete('x');
	equal($calls, 3, 'the statistics callback is called');
	$watched->disconnect_all;
	ok($watched->set('x', 1), 'set after disconnect_all');
	my $compact = client(no_rehash => 1, connect_timeout => 1, select_timeout => 5, debug => 0);
	$compact->set_norehash;
	$compact->forget_dead_hosts;
	$compact->set_servers([$servers[0]]);
	equal($compact->get('x'), 1, 'get after set_servers');
}

sub information {
	my $mc = client();
	$mc->set('x', 'y');
	$mc->get('x');
	my $stats = $mc->stats;
	my $host = $stats->{hosts}{ $servers[0] };
	for my $name (qw(pid version curr_items total_items cmd_get cmd_set bytes limit_maxbytes threads uptime)) {
		ok(defined $host->{misc}{$name}, "stats has $name");
	}
	ok($stats->{total}{cmd_set} > 0, 'stats sums cmd_set');
	ok($stats->{self}{set} > 0, 'stats of the client itself');
	ok($host->{misc}{version} =~ /^1\.6\.\d+/, 'version is 1.6.x', $host->{misc}{version});
	for my $what (qw(items slabs settings conns)) {
		ok($mc->stats($what)->{hosts}{ $servers[0] }{$what} =~ /^STAT /m, "stats $what");
	}
	# run_command reads on until OK, END or ERROR end what it has.
	for my $pair (["bogus\r\n", "ERROR\r\n"], ["verbosity 0\r\n", "OK\r\n"], ["get none\r\n", "END\r\n"]) {
		equal(join('', $mc->run_command($mc->get_sock('x'), $pair->[0])), $pair->[1], 'run_command of ' . $pair->[0]);
	}
	# The client's own stats_reset sends no line end, so it never worked with any server.
	equal($mc->_write_and_read($mc->get_sock('x'), "stats reset\r\n"), "RESET\r\n", 'stats reset');
	ok($mc->stats('misc')->{hosts}{ $servers[0] }{misc}{cmd_set} == 0, 'stats reset sets counters to 0');
	equal($mc->get('x'), 'y', 'stats reset keeps the items');
}

for my $group ([storage => \&storage], [values => \&values_of_all_kinds], [compression => \&compression],
	[numbers => \&numbers], [many => \&many], [expiry => \&expiry], [options => \&options],
	[information => \&information]) {
	my ($name, $run) = @$group;
	eval { $run->(); 1 } or ok(0, $name, "stopped by $@");
}
print "$passed passed, $failed failed\n";
exit($failed || !$passed ? 1 : 0);
