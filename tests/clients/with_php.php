<?php
/*
 * PHP's memcached extension in the text protocol: every method of class Memcached that a text
 * server can serve. Wants three servers: HOST:PORT,HOST:PORT,HOST:PORT
 */

$passed = 0;
$failed = 0;
$servers = array_map(function ($address) {
	$cut = strrpos($address, ':');
	return [substr($address, 0, $cut), (int)substr($address, $cut + 1)];
}, explode(',', $argv[1]));
$big = str_repeat(implode('', array_map('chr', range(0, 255))), 4090);
$too_big = random_bytes(1024 * 1024) . 'more';

function ok($condition, $name, $detail = '')
{
	global $passed, $failed;
	if ($condition) {
		$passed++;
	} else {
		$failed++;
		echo "FAIL php-memcached: $name", $detail !== '' ? ": $detail" : '', "\n";
	}
	return $condition;
}

function brief($value)
{
	$text = is_string($value) ? $value : json_encode($value, JSON_PARTIAL_OUTPUT_ON_ERROR);
	return gettype($value) . ' ' . (strlen($text) > 120 ? substr($text, 0, 80) . '... (' . strlen($text) . ')' : $text);
}

function equal($got, $wanted, $name)
{
	return ok($got === $wanted, $name, 'got ' . brief($got) . ', wanted ' . brief($wanted));
}

/* The result code of the client's last call. */
function code($mc, $wanted, $name)
{
	return ok($mc->getResultCode() === $wanted, "$name: result code",
		'got ' . $mc->getResultCode() . ' ' . $mc->getResultMessage() . ", wanted $wanted");
}

function wait_until($condition, $timeout_s)
{
	$deadline = microtime(true) + $timeout_s;
	while (!$condition()) {
		if (microtime(true) > $deadline) {
			return false;
		}
		usleep(10000);
	}
	return true;
}

/* A server with a sanitizer on a loaded machine may take seconds for an answer; libmemcached gives up after
 * four or five of its own accord, and has been seen to die of it: `instance->fd != INVALID_SOCKET`. */
define('PATIENT', [
	Memcached::OPT_CONNECT_TIMEOUT => 30000, // milliseconds
	Memcached::OPT_POLL_TIMEOUT => 30000,
	Memcached::OPT_SEND_TIMEOUT => 30000000, // microseconds
	Memcached::OPT_RECV_TIMEOUT => 30000000,
]);

function client($count = 1, $options = [])
{
	global $servers;
	$mc = new Memcached();
	$mc->setOptions($options + PATIENT +
		[Memcached::OPT_BINARY_PROTOCOL => false, Memcached::OPT_COMPRESSION => false]);
	$mc->addServers(array_slice($servers, 0, $count));
	return $mc;
}

/* One line to the first server, one line back, without the client. */
function ask($line)
{
	global $servers;
	static $sock = null;
	$sock = $sock ?? fsockopen($servers[0][0], $servers[0][1]);
	fwrite($sock, "$line\r\n");
	return rtrim(fgets($sock));
}

function storage()
{
	$mc = client();
	equal($mc->flush(), true, 'flush');
	equal($mc->get('absent'), false, 'get of an absent key');
	code($mc, Memcached::RES_NOTFOUND, 'get of an absent key');
	equal($mc->set('a', '1'), true, 'set');
	code($mc, Memcached::RES_SUCCESS, 'set');
	equal($mc->get('a'), '1', 'get after set');
	equal($mc->add('a', '2'), false, 'add of a present key');
	code($mc, Memcached::RES_NOTSTORED, 'add of a present key');
	equal($mc->add('b', '2'), true, 'add of an absent key');
	equal($mc->replace('b', '3'), true, 'replace of a present key');
	equal($mc->replace('c', '3'), false, 'replace of an absent key');
	code($mc, Memcached::RES_NOTSTORED, 'replace of an absent key');
	equal($mc->append('b', '-after'), true, 'append');
	equal($mc->prepend('b', 'before-'), true, 'prepend');
	equal($mc->get('b'), 'before-3-after', 'get after append and prepend');
	equal($mc->append('c', 'x'), false, 'append to an absent key');
	code($mc, Memcached::RES_NOTSTORED, 'append to an absent key');
	equal($mc->prepend('c', 'x'), false, 'prepend to an absent key');
	equal($mc->delete('b'), true, 'delete of a present key');
	equal($mc->delete('b'), false, 'delete of an absent key');
	code($mc, Memcached::RES_NOTFOUND, 'delete of an absent key');
	equal($mc->set('empty', ''), true, 'set of nothing');
	equal($mc->get('empty'), '', 'get of nothing');
	equal($mc->checkKey('good'), true, 'checkKey of a key');
	equal($mc->set(str_repeat('k', 250), 'long'), true, 'set with a key of 250 bytes');
	equal($mc->get(str_repeat('k', 250)), 'long', 'get with a key of 250 bytes');
	equal($mc->set(str_repeat('k', 251), 'long'), false, 'set with a key of 251 bytes');
	equal($mc->get('a'), '1', 'the client goes on after a refusal');
	equal($mc->get('computed', function ($mc, $key, &$value) {
		$value = "made for $key";
		return true;
	}), 'made for computed', 'get with a callback for misses');
	equal($mc->get('computed'), 'made for computed', 'what the callback made is stored');
}

function values()
{
	global $big, $too_big;
	$mc = client();
	foreach ([1, 2, 1023, 1024, 2048, 4096, 8191, 8192, 16384, 66560, 262144, strlen($big)] as $length) {
		equal($mc->set('v', substr($big, 0, $length)), true, "set of $length bytes");
		ok($mc->get('v') === substr($big, 0, $length), "get of $length bytes");
	}
	equal($mc->set('v', $too_big), false, 'set over the item limit');
	code($mc, Memcached::RES_E2BIG, 'set over the item limit');
	equal($mc->get('v'), false, 'set over the limit removes the old item');
	foreach (["a\r\nEND\r\n", str_repeat("\0", 100), "\r", "\n", "VALUE v 0 1\r\nx\r\nEND\r\n"] as $data) {
		equal($mc->set('v', $data), true, 'set of binary data');
		equal($mc->get('v'), $data, 'get of binary data');
	}
	foreach (['a:b/c', '%20', '{}', '-1', '~'] as $key) {
		equal($mc->set($key, "v-$key"), true, "set with key $key");
		equal($mc->get($key), "v-$key", "get with key $key");
	}
	foreach (['café', 'a b', "a\nb"] as $key) {
		equal($mc->set($key, 'x'), false, 'the client refuses key ' . json_encode($key));
		code($mc, Memcached::RES_BAD_KEY_PROVIDED, 'the client refuses key ' . json_encode($key));
	}
}

function types()
{
	foreach (['php' => Memcached::SERIALIZER_PHP, 'json' => Memcached::SERIALIZER_JSON_ARRAY,
		'igbinary' => Memcached::SERIALIZER_IGBINARY, 'msgpack' => Memcached::SERIALIZER_MSGPACK] as $name => $serializer) {
		$mc = client(1, [Memcached::OPT_SERIALIZER => $serializer]);
		foreach ([42, -42, PHP_INT_MAX, 2.5, true, false, 'text', ['a' => [1, 2, ['b' => null]]], range(0, 20000)] as $value) {
			equal($mc->set('t', $value), true, "$name: set of " . brief($value));
			equal($mc->get('t'), $value, "$name: get of " . brief($value));
		}
	}
	$mc = client(1, [Memcached::OPT_SERIALIZER => Memcached::SERIALIZER_PHP]);
	$object = new ArrayObject([1, 2, 3]);
	$mc->set('o', $object);
	ok($mc->get('o') == $object, 'an object comes back');
	foreach (['fastlz' => Memcached::COMPRESSION_FASTLZ, 'zlib' => Memcached::COMPRESSION_ZLIB] as $name => $type) {
		$mc = client(1, [Memcached::OPT_COMPRESSION => true, Memcached::OPT_COMPRESSION_TYPE => $type]);
		$data = str_repeat('compressible ', 50000);
		equal($mc->set('z', $data), true, "$name: set");
		equal($mc->get('z'), $data, "$name: get");
		$size = (int)substr(ask('mg z s'), 4);
		ok($size > 0 && $size < 100000, "$name: it was stored compressed", (string)$size);
	}
	$mc = client(1, [Memcached::OPT_USER_FLAGS => 513]);
	$mc->set('flags', 'x');
	$extended = $mc->get('flags', null, Memcached::GET_EXTENDED);
	equal($extended['flags'] ?? null, 513, 'user flags come back');
	equal((int)substr(ask('mg flags f'), 4) >> 16, 513, 'user flags are in the high half of the flags');
}

function numbers()
{
	$mc = client();
	$mc->delete('n');
	equal($mc->increment('n'), false, 'increment of an absent key');
	code($mc, Memcached::RES_NOTFOUND, 'increment of an absent key');
	$mc->set('n', 10);
	equal($mc->increment('n'), 11, 'increment');
	equal($mc->increment('n', 89), 100, 'increment by 89');
	equal($mc->get('n'), 100, 'get after increment keeps the type');
	equal($mc->decrement('n'), 99, 'decrement');
	equal($mc->decrement('n', 49), 50, 'decrement by 49');
	equal($mc->decrement('n', 1000), 0, 'decrement stops at 0');
	equal($mc->increment('n', PHP_INT_MAX), PHP_INT_MAX, 'increment to the largest integer');
	$mc->set('word', 'abc');
	equal($mc->increment('word'), false, 'increment of a word');
	code($mc, Memcached::RES_CLIENT_ERROR, 'increment of a word');
	equal($mc->get('word'), 'abc', 'a refused increment changes nothing');
	/* An initial value needs the binary protocol: the client must say so, and the connection go on. */
	equal(@$mc->increment('fresh', 1, 7, 100), false, 'increment with an initial value');
	equal(@$mc->decrement('fresh', 1, 7, 100), false, 'decrement with an initial value');
	equal($mc->get('word'), 'abc', 'the client goes on');
	equal($mc->incrementByKey('server', 'n2', 1), false, 'incrementByKey of an absent key');
	$mc->setByKey('server', 'n2', 5);
	equal($mc->incrementByKey('server', 'n2', 2), 7, 'incrementByKey');
	equal($mc->decrementByKey('server', 'n2', 3), 4, 'decrementByKey');
}

function many()
{
	$mc = client(3);
	$data = [];
	for ($n = 0; $n < 900; $n++) {
		$data["m$n"] = "value $n";
	}
	equal($mc->setMulti($data), true, 'setMulti of 900');
	$found = $mc->getMulti(array_keys($data));
	ksort($found);
	$sorted = $data;
	ksort($sorted);
	equal($found, $sorted, 'getMulti of 900');
	equal($mc->getMulti(['m3', 'm1', 'm2'], Memcached::GET_PRESERVE_ORDER),
		['m3' => 'value 3', 'm1' => 'value 1', 'm2' => 'value 2'], 'getMulti in order');
	equal($mc->getMulti(['m3', 'none'], Memcached::GET_PRESERVE_ORDER), ['m3' => 'value 3', 'none' => null],
		'getMulti in order, with a miss');
	equal($mc->getMulti(['none']), [], 'getMulti of a miss');
	equal($mc->getMulti([]), [], 'getMulti of nothing');
	$extended = $mc->getMulti(['m1', 'm2', 'none'], Memcached::GET_EXTENDED);
	equal(count($extended), 2, 'getMulti with uniques finds two');
	equal($extended['m1']['value'] ?? null, 'value 1', 'getMulti with uniques: value');
	ok(isset($extended['m1']['cas'], $extended['m1']['flags']), 'getMulti with uniques: cas and flags');
	equal($mc->cas($extended['m1']['cas'], 'm1', 'new'), true, 'cas with a unique from getMulti');
	equal($mc->cas($extended['m1']['cas'], 'm1', 'newer'), false, 'cas with an old unique');
	code($mc, Memcached::RES_DATA_EXISTS, 'cas with an old unique');
	$deleted = $mc->deleteMulti(['m1', 'none']);
	equal($deleted, ['m1' => true, 'none' => Memcached::RES_NOTFOUND], 'deleteMulti');
	equal($mc->setMulti(['e1' => 'x', 'e2' => 'y'], 500), true, 'setMulti with an expiry');
	$large = [];
	for ($n = 0; $n < 20; $n++) {
		$large["large$n"] = str_repeat(chr(65 + $n), 200000);
	}
	equal($mc->setMulti($large), true, 'setMulti of large values');
	$found = $mc->getMulti(array_keys($large), Memcached::GET_PRESERVE_ORDER);
	ok($found === $large, 'getMulti of large values');
	equal($mc->setMultiByKey('server', ['k1' => 1, 'k2' => 2]), true, 'setMultiByKey');
	equal($mc->getMultiByKey('server', ['k1', 'k2'], Memcached::GET_PRESERVE_ORDER), ['k1' => 1, 'k2' => 2], 'getMultiByKey');
	equal($mc->deleteMultiByKey('server', ['k1', 'k2']), ['k1' => true, 'k2' => true], 'deleteMultiByKey');
}

function uniques()
{
	$mc = client();
	$mc->set('c', '1');
	$first = $mc->get('c', null, Memcached::GET_EXTENDED);
	ok(is_array($first) && $first['value'] === '1' && isset($first['cas']), 'get with a unique');
	$again = $mc->get('c', null, Memcached::GET_EXTENDED);
	equal($again['cas'], $first['cas'], 'reading keeps the unique');
	equal($mc->cas($first['cas'], 'c', '2'), true, 'cas with the right unique');
	equal($mc->cas($first['cas'], 'c', '3'), false, 'cas with an old unique');
	code($mc, Memcached::RES_DATA_EXISTS, 'cas with an old unique');
	equal($mc->get('c'), '2', 'a refused cas changes nothing');
	equal($mc->cas($first['cas'], 'none', '3'), false, 'cas of an absent key');
	code($mc, Memcached::RES_NOTFOUND, 'cas of an absent key');
	$unique = $mc->get('c', null, Memcached::GET_EXTENDED)['cas'];
	$mc->append('c', '+');
	equal($mc->cas($unique, 'c', '3'), false, 'append makes a new unique');
	$unique = $mc->get('c', null, Memcached::GET_EXTENDED)['cas'];
	equal($mc->cas($unique, 'c', '4', 300), true, 'cas with an expiry');
	ok(in_array(ask('mg c t'), ['HD t299', 'HD t300']), 'cas stored the expiry');
	$mc->setByKey('server', 'c', '1');
	$unique = $mc->getByKey('server', 'c', null, Memcached::GET_EXTENDED)['cas'];
	equal($mc->casByKey($unique, 'server', 'c', '2'), true, 'casByKey');
}

function delayed()
{
	$mc = client(3);
	$mc->setMulti(['d1' => 'one', 'd2' => 'two', 'd3' => 'three']);
	equal($mc->getDelayed(['d1', 'd2', 'd3', 'none']), true, 'getDelayed');
	$found = [];
	while ($result = $mc->fetch()) {
		$found[$result['key']] = $result['value'];
	}
	code($mc, Memcached::RES_NOTFOUND, 'fetch at the end, after a miss');
	ksort($found);
	equal($found, ['d1' => 'one', 'd2' => 'two', 'd3' => 'three'], 'fetch');
	equal($mc->getDelayed(['d1', 'd2'], true), true, 'getDelayed with uniques');
	$all = $mc->fetchAll();
	equal(count($all), 2, 'fetchAll finds both');
	ok(isset($all[0]['cas'], $all[0]['key'], $all[0]['value']), 'fetchAll has uniques');
	equal($mc->cas($all[0]['cas'], $all[0]['key'], 'x'), true, 'cas with a unique from fetchAll');
	$seen = [];
	equal($mc->getDelayed(['d2', 'd3'], false, function ($mc, $item) use (&$seen) {
		$seen[] = $item['key'];
	}), true, 'getDelayed with a callback');
	sort($seen);
	equal($seen, ['d2', 'd3'], 'the callback sees every item');
	$mc->setByKey('server', 'd4', 'four');
	equal($mc->getDelayedByKey('server', ['d4']), true, 'getDelayedByKey');
	equal($mc->fetchAll()[0]['value'] ?? null, 'four', 'fetchAll after getDelayedByKey');
	equal($mc->get('d3'), 'three', 'get after delayed gets');
}

function by_key()
{
	$mc = client(3);
	equal($mc->setByKey('server', 'a', '1'), true, 'setByKey');
	equal($mc->getByKey('server', 'a'), '1', 'getByKey');
	equal($mc->addByKey('server', 'a', '2'), false, 'addByKey of a present key');
	equal($mc->replaceByKey('server', 'a', '3'), true, 'replaceByKey');
	equal($mc->appendByKey('server', 'a', '4'), true, 'appendByKey');
	equal($mc->prependByKey('server', 'a', '2'), true, 'prependByKey');
	equal($mc->getByKey('server', 'a'), '234', 'getByKey after all of them');
	equal($mc->touchByKey('server', 'a', 100), true, 'touchByKey');
	equal($mc->deleteByKey('server', 'a'), true, 'deleteByKey');
	equal($mc->getByKey('server', 'a'), false, 'getByKey after deleteByKey');
	ok(is_array($mc->getServerByKey('server')), 'getServerByKey');
	equal(count($mc->getServerList()), 3, 'getServerList');
}

function expiry()
{
	$mc = client();
	$mc->set('short', 1, 1);
	$mc->delete('short-add');
	$mc->add('short-add', 1, 1);
	$mc->set('short-touch', 1);
	$mc->setMulti(['short-m1' => 1, 'short-m2' => 2], 1);
	$mc->set('short-date', 1, time() + 2);
	$mc->set('kept', 1, 1);
	equal($mc->touch('kept', 500), true, 'touch');
	equal($mc->touch('short-touch', 1), true, 'touch shortens');
	equal($mc->touch('none', 1), false, 'touch of an absent key');
	code($mc, Memcached::RES_NOTFOUND, 'touch of an absent key');
	ok(in_array(ask('mg kept t'), ['HD t499', 'HD t500']), "touch's time is stored");
	$short = ['short', 'short-add', 'short-touch', 'short-m1', 'short-m2', 'short-date'];
	ok(wait_until(function () use ($mc, $short) {
		return $mc->getMulti($short) === [];
	}, 5), 'short times end');
	equal($mc->get('kept'), 1, 'a touched key stays');
	equal($mc->replace('short', 1), false, 'replace after expiry');
	equal($mc->add('short-add', 1), true, 'add after expiry');
	$mc->set('past', 1, -1);
	equal($mc->get('past'), false, 'a negative expiry is past');
}

function options()
{
	global $big;
	$mc = client(1, [Memcached::OPT_PREFIX_KEY => 'prefix:']);
	$mc->set('a', 'prefixed');
	equal($mc->getMulti(['a']), ['a' => 'prefixed'], 'getMulti with a prefix');
	equal(client()->get('prefix:a'), 'prefixed', 'the prefix is in the key');
	equal(client()->getOption(Memcached::OPT_BINARY_PROTOCOL), 0, 'this is the text protocol');
	$kinds = ['no block' => [Memcached::OPT_NO_BLOCK => true], 'no delay' => [Memcached::OPT_TCP_NODELAY => true],
		'ketama' => [Memcached::OPT_LIBKETAMA_COMPATIBLE => true], 'verify keys' => [Memcached::OPT_VERIFY_KEY => true],
		'consistent' => [Memcached::OPT_DISTRIBUTION => Memcached::DISTRIBUTION_CONSISTENT],
		'buffers' => [Memcached::OPT_SOCKET_SEND_SIZE => 65536, Memcached::OPT_SOCKET_RECV_SIZE => 65536],
		'keepalive' => [Memcached::OPT_TCP_KEEPALIVE => true],
		'retries' => [Memcached::OPT_STORE_RETRY_COUNT => 2, Memcached::OPT_SERVER_FAILURE_LIMIT => 2]];
	foreach (['md5' => Memcached::HASH_MD5, 'crc' => Memcached::HASH_CRC, 'fnv1a_32' => Memcached::HASH_FNV1A_32,
		'murmur' => Memcached::HASH_MURMUR] as $name => $hash) {
		$kinds["hash $name"] = [Memcached::OPT_HASH => $hash];
	}
	foreach ($kinds as $name => $option) {
		$mc = client(3, $option);
		$data = [];
		for ($n = 0; $n < 50; $n++) {
			$data["$n-" . md5($name)] = "$name $n";
		}
		equal($mc->setMulti($data), true, "$name: setMulti");
		equal($mc->getMulti(array_keys($data), Memcached::GET_PRESERVE_ORDER), $data, "$name: getMulti");
		$mc->set('big', $big);
		ok($mc->get('big') === $big, "$name: a value of 1 MB");
		equal($mc->append('big', ''), true, "$name: append");
		equal($mc->delete('big'), true, "$name: delete");
	}
	$mc = client(1, [Memcached::OPT_BUFFER_WRITES => true]);
	for ($n = 0; $n < 1000; $n++) {
		$mc->set("buf$n", "v$n");
	}
	equal($mc->flushBuffers(), true, 'flushBuffers');
	equal($mc->get('buf999'), 'v999', 'buffered writes arrive');
	$mc = client(1, [Memcached::OPT_NOREPLY => true]);
	for ($n = 0; $n < 200; $n++) {
		$mc->set("q$n", "v$n");
	}
	$mc->append('q1', '+');
	$mc->delete('q2');
	equal($mc->getMulti(['q1', 'q2', 'q199'], Memcached::GET_PRESERVE_ORDER), ['q1' => 'v1+', 'q2' => null, 'q199' => 'v199'],
		'silent writes arrive');
}

function information()
{
	global $servers;
	$mc = client(3);
	$names = array_map(function ($server) {
		return "$server[0]:$server[1]";
	}, $servers);
	$versions = $mc->getVersion();
	equal(count($versions), 3, 'getVersion of three servers');
	foreach ($names as $name) {
		ok(strpos($versions[$name] ?? '', '1.6.') === 0, 'version is 1.6.x', $versions[$name] ?? 'none');
	}
	$mc->set('x', 'y');
	$stats = $mc->getStats();
	equal(count($stats), 3, 'getStats of three servers');
	foreach (['pid', 'uptime', 'threads', 'curr_items', 'cmd_get', 'bytes', 'limit_maxbytes', 'version'] as $stat) {
		ok(isset($stats[$names[0]][$stat]), "getStats has $stat");
	}
	ok($stats[$names[0]]['pid'] > 0, 'pid is a number');
	foreach (['settings' => 'maxconns', 'slabs' => 'active_slabs'] as $what => $stat) {
		ok(isset($mc->getStats($what)[$names[0]][$stat]), "getStats($what) has $stat");
	}
	ok(is_array($mc->getStats('items')), 'getStats(items)');
	$keys = client()->getAllKeys();
	ok($keys === false || is_array($keys), 'getAllKeys');
	equal($mc->isPristine(), true, 'isPristine');
	equal($mc->isPersistent(), false, 'isPersistent');
	equal($mc->quit(), true, 'quit');
	equal($mc->get('x'), 'y', 'get after quit');
	$mc->resetServerList();
	equal($mc->getServerList(), [], 'resetServerList');
	equal($mc->get('x'), false, 'get without servers');
	code($mc, Memcached::RES_NO_SERVERS, 'get without servers');
	equal(client()->getLastErrorMessage(), 'SUCCESS', 'getLastErrorMessage');
}

function flushing()
{
	$mc = client();
	$mc->set('f', '1');
	equal($mc->flush(2), true, 'flush with a delay');
	equal($mc->get('f'), '1', 'flush with a delay waits');
	ok(wait_until(function () use ($mc) {
		return $mc->get('f') === false;
	}, 5), 'flush with a delay takes effect');
}

foreach (['storage', 'values', 'types', 'numbers', 'many', 'uniques', 'delayed', 'by_key', 'expiry', 'options',
	'information', 'flushing'] as $group) {
	try {
		$group();
	} catch (Throwable $error) {
		ok(false, $group, 'stopped at line ' . $error->getLine() . ' by ' . $error->getMessage());
	}
}
echo "$passed passed, $failed failed\n";
exit($failed || !$passed ? 1 : 0);
