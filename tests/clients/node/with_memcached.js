'use strict';
// node's `memcached`: every method. Wants three servers: HOST:PORT,HOST:PORT,HOST:PORT. The
// module is found through NODE_PATH, where the driver installed it.

const net = require('net');
const Memcached = require('memcached');

const servers = process.argv[2].split(',');
const BIG = 'x'.repeat(1000000);
let passed = 0;
let failed = 0;

function ok(condition, name, detail) {
	if (condition) {
		passed++;
	} else {
		failed++;
		console.log(`FAIL node-memcached: ${name}${detail === undefined ? '' : ': ' + detail}`);
	}
}

function brief(value) {
	const text = value instanceof Error ? String(value) : JSON.stringify(value);
	return text && text.length > 140 ? `${text.slice(0, 100)}... (${text.length})` : text;
}

function equal(got, wanted, name) {
	ok(JSON.stringify(got) === JSON.stringify(wanted), name, `got ${brief(got)}, wanted ${brief(wanted)}`);
}

// call(client, 'get', key): a promise of {error, value} of one method.
function call(client, method, ...args) {
	return new Promise((resolve) => client[method](...args, (error, value) => resolve({ error, value })));
}

async function value(client, method, ...args) {
	const { error, value: found } = await call(client, method, ...args);
	if (error) {
		throw error instanceof Error ? error : new Error(String(error));
	}
	return found;
}

async function refused(client, name, method, ...args) {
	const { error } = await call(client, method, ...args);
	ok(error, `${name} is an error`);
}

async function waitUntil(condition, timeoutMs) {
	const deadline = Date.now() + timeoutMs;
	while (!(await condition())) {
		if (Date.now() > deadline) {
			return false;
		}
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
	return true;
}

// One line out, one line back, without the client.
function ask(line) {
	const [, host, port] = /^(.*):(\d+)$/.exec(servers[0]);
	return new Promise((resolve, reject) => {
		const socket = net.connect(Number(port), host, () => socket.write(`${line}\r\n`));
		socket.once('data', (data) => {
			socket.destroy();
			resolve(data.toString().split('\r\n')[0]);
		});
		socket.once('error', reject);
	});
}

async function storage() {
	const mc = new Memcached(servers[0]);
	equal(await value(mc, 'flush'), [true], 'flush');
	equal(await value(mc, 'get', 'absent'), undefined, 'get of an absent key');
	equal(await value(mc, 'set', 'a', '1', 0), true, 'set');
	equal(await value(mc, 'get', 'a'), '1', 'get after set');
	await refused(mc, 'add of a present key', 'add', 'a', '2', 0);
	equal(await value(mc, 'get', 'a'), '1', 'a refused add changes nothing');
	equal(await value(mc, 'add', 'b', '2', 0), true, 'add of an absent key');
	equal(await value(mc, 'replace', 'b', '3', 0), true, 'replace of a present key');
	await refused(mc, 'replace of an absent key', 'replace', 'c', '3', 0);
	equal(await value(mc, 'append', 'b', '-after'), true, 'append');
	equal(await value(mc, 'prepend', 'b', 'before-'), true, 'prepend');
	equal(await value(mc, 'get', 'b'), 'before-3-after', 'get after append and prepend');
	await refused(mc, 'append to an absent key', 'append', 'c', 'x');
	await refused(mc, 'prepend to an absent key', 'prepend', 'c', 'x');
	equal(await value(mc, 'del', 'b'), true, 'del of a present key');
	equal(await value(mc, 'del', 'b'), false, 'del of an absent key');
	await value(mc, 'set', 'b', 'x', 0);
	equal(await value(mc, 'delete', 'b'), true, 'delete is del');
	equal(await value(mc, 'set', 'empty', '', 0), true, 'set of nothing');
	equal(await value(mc, 'get', 'empty'), '', 'get of nothing');
	const longest = 'k'.repeat(250);
	equal(await value(mc, 'set', longest, 'long', 0), true, 'set with a key of 250 bytes');
	equal(await value(mc, 'get', longest), 'long', 'get with a key of 250 bytes');
	equal(await value(mc, 'set', 'k'.repeat(300), 'hashed', 0), true, 'a longer key is hashed by the client');
	equal(await value(mc, 'get', 'k'.repeat(300)), 'hashed', 'get with a longer key');
	await refused(mc, 'a key with a space', 'set', 'a b', 'x', 0);
	mc.end();
}

async function values() {
	const mc = new Memcached(servers[0]);
	for (const length of [1, 2, 1023, 1024, 2048, 4096, 16384, 65536, 262144, BIG.length]) {
		const data = BIG.slice(0, length);
		equal(await value(mc, 'set', 'v', data, 0), true, `set of ${length} bytes`);
		ok((await value(mc, 'get', 'v')) === data, `get of ${length} bytes`);
	}
	const kinds = { text: 'café € 日本語 😀', number: 42, negative: -1.5, list: [1, 'two', { three: 3 }], yes: true, no: false,
		nothing: null, lines: 'a\r\nb\nc\r' };
	for (const [name, data] of Object.entries(kinds)) {
		equal(await value(mc, 'set', `kind-${name}`, data, 0), true, `set, ${name}`);
		equal(await value(mc, 'get', `kind-${name}`), data, `get, ${name}`);
	}
	const bytes = Buffer.from(Array.from({ length: 1000 }, (_, n) => n % 256).filter((byte) => byte !== 13 && byte !== 10));
	equal(await value(mc, 'set', 'bytes', bytes, 0), true, 'set of a buffer');
	ok(bytes.equals(await value(mc, 'get', 'bytes')), 'get of a buffer');
	equal(await ask('mg kind-number f'), 'HD f8', 'flags of a number');
	equal(await ask('mg kind-list f'), 'HD f2', 'flags of a list');
	equal(await ask('mg bytes f'), 'HD f4', 'flags of a buffer');
	for (const key of ['café', '日本語', 'a:b/c', '%20', '{}']) {
		equal(await value(mc, 'set', key, `v-${key}`, 0), true, `set with key ${key}`);
		equal(await value(mc, 'get', key), `v-${key}`, `get with key ${key}`);
	}
	const permissive = new Memcached(servers[0], { maxValue: 1 << 24 });
	await refused(mc, 'the client refuses a value too large', 'set', 'v', 'x'.repeat((1 << 20) + 1), 0);
	// A SERVER_ERROR makes this client drop its connection; the old item must be gone all the same.
	await call(permissive, 'set', 'v', 'x'.repeat((1 << 20) + 1), 0);
	equal(await value(mc, 'get', 'v'), undefined, 'set over the item limit removes the old item');
	permissive.end();
	mc.end();
}

async function numbers() {
	const mc = new Memcached(servers[0]);
	await call(mc, 'del', 'n');
	equal(await value(mc, 'incr', 'n', 1), false, 'incr of an absent key');
	equal(await value(mc, 'decr', 'n', 1), false, 'decr of an absent key');
	await value(mc, 'set', 'n', 10, 0);
	equal(await value(mc, 'incr', 'n', 1), 11, 'incr');
	equal(await value(mc, 'increment', 'n', 89), 100, 'increment');
	equal(await value(mc, 'decr', 'n', 1), 99, 'decr');
	equal(await value(mc, 'decrement', 'n', 49), 50, 'decrement');
	equal(await value(mc, 'get', 'n'), 50, 'get keeps the type');
	equal(await value(mc, 'decr', 'n', 1000), 0, 'decr stops at 0');
	await value(mc, 'set', 'word', 'abc', 0);
	await refused(mc, 'incr of a word', 'incr', 'word', 1);
	equal(await value(mc, 'get', 'word'), 'abc', 'a refused incr changes nothing');
	mc.end();
}

async function uniques() {
	const mc = new Memcached(servers[0]);
	await value(mc, 'set', 'c', '1', 0);
	const first = await value(mc, 'gets', 'c');
	equal(first.c, '1', 'gets brings the value');
	ok(/^\d+$/.test(first.cas), 'gets brings the unique', first.cas);
	equal(await value(mc, 'cas', 'c', '2', first.cas, 0), true, 'cas with the right unique');
	equal(await value(mc, 'cas', 'c', '3', first.cas, 0), false, 'cas with an old unique');
	equal(await value(mc, 'get', 'c'), '2', 'a refused cas changes nothing');
	equal(await value(mc, 'cas', 'none', '3', first.cas, 0), false, 'cas of an absent key');
	equal(await value(mc, 'gets', 'none'), undefined, 'gets of an absent key');
	const second = await value(mc, 'gets', 'c');
	ok(second.cas !== first.cas, 'a change makes a new unique');
	await value(mc, 'append', 'c', '+');
	equal(await value(mc, 'cas', 'c', '3', second.cas, 0), false, 'append makes a new unique');
	mc.end();
}

async function many() {
	const mc = new Memcached(servers);
	const data = {};
	for (let n = 0; n < 600; n++) {
		data[`m${n}`] = `value ${n}`;
	}
	const stored = await Promise.all(Object.entries(data).map(([key, text]) => value(mc, 'set', key, text, 0)));
	equal(stored.every(Boolean), true, '600 sets at once over three servers');
	const sorted = (object) => Object.fromEntries(Object.entries(object).sort());
	equal(sorted(await value(mc, 'getMulti', Object.keys(data))), sorted(data), 'getMulti of 600');
	equal(sorted(await value(mc, 'get', ['m1', 'none', 'm2'])), { m1: 'value 1', m2: 'value 2' }, 'get of a list');
	equal(await value(mc, 'getMulti', ['none1', 'none2']), {}, 'getMulti of misses');
	let total = 0;
	for (const server of servers) {
		const one = new Memcached(server);
		const share = Object.keys(await value(one, 'getMulti', Object.keys(data))).length;
		ok(share > 60, `${server} has its share`, share);
		total += share;
		one.end();
	}
	equal(total, 600, 'each key is on one server');
	const removed = await Promise.all(Object.keys(data).map((key) => value(mc, 'del', key)));
	equal(removed.every(Boolean), true, '600 deletes at once');
	equal(await value(mc, 'getMulti', Object.keys(data)), {}, 'getMulti after the deletes');
	const large = {};
	for (let n = 0; n < 10; n++) {
		large[`large${n}`] = String.fromCharCode(97 + n).repeat(200000);
		await value(mc, 'set', `large${n}`, large[`large${n}`], 0);
	}
	ok(JSON.stringify(sorted(await value(mc, 'getMulti', Object.keys(large)))) === JSON.stringify(sorted(large)),
		'getMulti of large values');
	const spaced = new Memcached(servers[0], { namespace: 'space:' });
	equal(await value(spaced, 'set', 'a', 'spaced', 0), true, 'set in a namespace');
	equal(await value(spaced, 'getMulti', ['a']), { a: 'spaced' }, 'getMulti in a namespace');
	equal(await ask('mg space:a s'), 'HD s6', 'the namespace is in the key');
	spaced.end();
	const weighted = new Memcached({ [servers[0]]: 3, [servers[1]]: 1 });
	equal(await value(weighted, 'set', 'w', '1', 0), true, 'set with weights');
	equal(await value(weighted, 'get', 'w'), '1', 'get with weights');
	weighted.end();
	mc.end();
}

async function expiry() {
	const mc = new Memcached(servers[0]);
	await value(mc, 'set', 'short', '1', 1);
	await value(mc, 'set', 'touched', '1', 0);
	await value(mc, 'set', 'kept', '1', 1);
	equal(await value(mc, 'touch', 'touched', 1), true, 'touch shortens');
	equal(await value(mc, 'touch', 'kept', 500), true, 'touch');
	equal(await value(mc, 'touch', 'none', 500), false, 'touch of an absent key');
	ok(['HD t499', 'HD t500'].includes(await ask('mg kept t')), 'the time of touch is stored');
	const gone = async () => JSON.stringify(await value(mc, 'getMulti', ['short', 'touched'])) === '{}';
	ok(await waitUntil(gone, 5000), 'short times end');
	equal(await value(mc, 'get', 'kept'), '1', 'a touched key stays');
	mc.end();
}

async function information() {
	const mc = new Memcached(servers);
	const versions = await value(mc, 'version');
	equal(versions.length, 3, 'version of three servers');
	// The client takes the last three numbers of the version, and dies of a version without them.
	ok(versions.every((one) => /^\d+\.\d+\.\d+$/.test(one.version)), 'version can be parsed', brief(versions));
	await value(mc, 'set', 'item', 'x', 0);
	const stats = await value(mc, 'stats');
	equal(stats.length, 3, 'stats of three servers');
	for (const name of ['pid', 'uptime', 'curr_items', 'cmd_get', 'cmd_set', 'bytes', 'limit_maxbytes', 'threads']) {
		ok(typeof stats[0][name] === 'number', `stats has ${name}, a number`, brief(stats[0][name]));
	}
	ok(servers.includes(stats[0].server), 'stats names the server');
	const settings = await value(mc, 'settings');
	ok(settings[0].maxconns > 0 && 'evictions' in settings[0], 'settings');
	const alone = new Memcached(servers[0]);
	await value(alone, 'set', 'item', 'x', 0);
	const slabs = await value(alone, 'slabs');
	ok(slabs.length === 1 && Object.values(slabs[0]).some((slab) => slab.chunk_size > 0), 'slabs', brief(slabs));
	const items = await value(alone, 'items');
	const classes = Object.keys(items[0]).filter((name) => /^\d+$/.test(name));
	ok(classes.length > 0 && items[0][classes[0]].number > 0, 'items', brief(items));
	const dump = await call(alone, 'cachedump', servers[0], Number(classes[0]), 10);
	ok(!dump.error, 'cachedump', String(dump.error));
	const listed = [].concat(dump.value || []).filter(Boolean);
	ok(listed.every((entry) => typeof entry.key === 'string' && entry.b >= 0), 'cachedump names keys and sizes', brief(listed));
	alone.end();
	mc.end();
}

async function load() {
	const mc = new Memcached(servers[0], { poolSize: 20 });
	const jobs = Array.from({ length: 5000 }, async (_, n) => {
		await value(mc, 'set', `load${n}`, `value ${n}`, 100);
		return (await value(mc, 'get', `load${n}`)) === `value ${n}`;
	});
	equal((await Promise.all(jobs)).filter(Boolean).length, 5000, '5000 sets and gets on 20 connections');
	mc.end();
}

async function main() {
	for (const group of [storage, values, numbers, uniques, many, expiry, information, load]) {
		try {
			await group();
		} catch (error) {
			ok(false, group.name, `stopped by ${error.stack.split('\n').slice(0, 3).join(' ')}`);
		}
	}
	console.log(`${passed} passed, ${failed} failed`);
	process.exit(failed || !passed ? 1 : 0);
}

process.on('uncaughtException', (error) => {
	ok(false, 'the client', `died of ${error.stack.split('\n').slice(0, 3).join(' ')}`);
	console.log(`${passed} passed, ${failed} failed`);
	process.exit(1);
});
main();
