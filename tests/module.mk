# tests: files of this directory

# Real clients, hostile clients, starting and stopping: scripts that start the server themselves.
dist_check_SCRIPTS += tests/clients-run tests/hostile-run tests/startup-run
TESTS += tests/clients-run tests/hostile-run tests/startup-run
EXTRA_DIST += tests/clients/README.md tests/clients/support.py tests/clients/ketama.py \
	tests/clients/with_pymemcache.py tests/clients/with_pylibmc.py \
	tests/clients/with_libmemcached_tools.py tests/clients/with_cache_memcached.pl \
	tests/clients/with_php.php tests/clients/with_twemproxy.py tests/clients/with_ketama.py \
	tests/clients/node/package.json tests/clients/node/package-lock.json \
	tests/clients/node/with_memcached.js
