# plyfs: build, check, test, demo. `make help` explains.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# One launcher in dist/bin per command; each runs dist/cli/<name>.js. That of plyfs is a program of its own: starting Node takes too long.
# None of them speaks TLS: without NODE_EXTRA_CA_CERTS Node starts in a third of the time where that is set.
BINS := plyd ply

# Node's own headers where they are installed with it: then node-gyp downloads nothing.
NODE_PREFIX := $(shell dirname "$$(dirname "$$(readlink -f "$$(command -v node)")")")
# better-sqlite3's addon works with one ABI of Node only: plyd's launcher says so when it meets another.
NODE_ABI := $(shell node -p process.versions.modules)
NODE_BUILT := $(shell node -p 'process.versions.node.split(".")[0]')
NODEDIR := $(if $(wildcard $(NODE_PREFIX)/include/node/node_api.h),--nodedir=$(NODE_PREFIX))

.PHONY: help build native typescript check test test-clients test-long demo fuzz bench install uninstall deb clean

help: ## explain the targets (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  sudo scripts/setup installs the Debian packages that these need.'
	@echo '  Some tests only: make build && scripts/run-tests dist/test/lint/*.test.js'

build: native typescript ## npm ci if needed, the addon if its sources changed, TypeScript, bundles, dist/bin

# npm ci leaves this file behind, so it is as new as the installation.
node_modules/.package-lock.json: package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

native: node_modules/.package-lock.json
	@[ -f native-bindings/binding.gyp ] || { echo 'native-bindings/binding.gyp is not there yet: no addon is built'; exit 0; }; \
	addon=$$(ls -t native-bindings/build/Release/*.node 2>/dev/null | head -n 1 || true); \
	if [ -z "$$addon" ] || [ -n "$$(find native-bindings/binding.gyp native-bindings/src -type f -newer "$$addon" -print -quit)" ]; then \
	  echo 'npx node-gyp rebuild -C native-bindings $(NODEDIR)'; \
	  npx --no-install node-gyp rebuild -C native-bindings $(NODEDIR); \
	fi

typescript: node_modules/.package-lock.json
	npx --no-install tsc -p tsconfig.json
	@node dist/scripts/bundle.js
	@node dist/scripts/manual/main.js
	@mkdir -p dist/bin
	@for name in $(BINS); do \
	  [ -f dist/cli/$$name.js ] || continue; \
	  printf '%s\n' '#!/usr/bin/env -S -u NODE_EXTRA_CA_CERTS node' "'use strict';" \
	    "const [major, minor] = process.versions.node.split('.').map(Number);" \
	    "if (major < 20 || (major === 20 && minor < 19) || ('$$name' === 'plyd' && process.versions.modules !== '$(NODE_ABI)')) {" \
	    "  process.stderr.write('$$name: this is Node.js ' + process.versions.node + ' (' + process.execPath + '), and plyfs was built for $(NODE_BUILT): ' +" \
	    "    'put that one first in PATH, or build plyfs with this one (20.19 or later)\\n');" \
	    "  process.exit(1);" \
	    "}" \
	    "const { dirname, join } = require('node:path');" \
	    "require(join(dirname(require('node:fs').realpathSync(__filename)), '../cli/$$name.js'));" >dist/bin/$$name.new; \
	  chmod 755 dist/bin/$$name.new; \
	  mv dist/bin/$$name.new dist/bin/$$name; \
	done
	@[ dist/bin/plyfs -nt native-bindings/launcher/plyfs.c ] || { \
	  $(CC) -std=gnu17 -O2 -Wall -Wextra -Werror -o dist/bin/plyfs.new native-bindings/launcher/plyfs.c && mv dist/bin/plyfs.new dist/bin/plyfs; }
	@# Of a container's own files it can use none: static.
	@[ dist/bin/ply-enter -nt native-bindings/launcher/ply-enter.c ] || { \
	  $(CC) -std=gnu17 -O2 -Wall -Wextra -Werror -static -o dist/bin/ply-enter.new native-bindings/launcher/ply-enter.c && \
	  mv dist/bin/ply-enter.new dist/bin/ply-enter; }

check: build ## types, ESLint (with the folder rule), Prettier, the protocol tables
	npx --no-install eslint --max-warnings 0 .
	npx --no-install prettier --check --log-level warn .
	@if [ -f scripts/check-protocol.ts ]; then echo 'node dist/scripts/check-protocol.js'; node dist/scripts/check-protocol.js; fi

test: build ## all tests but the long ones; the last line is `N passed, N failed`
	@scripts/run-tests

test-clients: build ## the programs that use plyfs: podman, buildah, mount(8), containerd, systemd, Kubernetes, and the packages (part of make test)
	@scripts/run-tests $(foreach one,clients snapshotter kubernetes packaging driver,dist/test/$(one)/*.test.js) dist/test/plyfs/owners*.test.js dist/test/plyd/service.test.js dist/test/plyd/config.test.js

test-long: build ## all tests, those that take minutes too
	@PLYFS_TEST_LONG=1 scripts/run-tests

demo: ## through plyd and ply: three layers, an image, apt-get install in one of two containers (root)
	@scripts/demo

fuzz: build ## the random differential tester: make fuzz SEEDS=1000
	node dist/test/fuzz/main.js --seeds $(or $(SEEDS),200)

BENCH_OPTIONS = RUNS:runs ROW:row SCALE:scale SYSTEMS:systems PLYFS:plyfs PLYD:plyd DIR:dir OUT:out FROM:from
option = $(if $($(firstword $(subst :, ,$1))),--$(lastword $(subst :, ,$1)) '$($(firstword $(subst :, ,$1)))')

bench: build ## compare with kernel overlayfs and fuse-overlayfs: make bench ROW=cold-walk RUNS=1 (docs/performance.md)
	@# In a mount namespace of its own: else one that somebody else makes meanwhile would keep copies of its mounts in use.
	@exec $(if $(filter 0,$(shell id -u)),unshare --mount --propagation private) node dist/test/bench/main.js $(foreach one,$(BENCH_OPTIONS),$(call option,$(one))) $(if $(DOCS),--docs) $(if $(ALONE),--alone)

# DESTDIR, PREFIX (/usr/local), SYSCONFDIR (/etc), MOUNTDIR (PREFIX/sbin; mount(8) looks in /sbin), UNITDIR, ZSHDIR
export DESTDIR PREFIX SYSCONFDIR MOUNTDIR UNITDIR ZSHDIR OUT

install: build ## copy what runs: make install DESTDIR=/tmp/x PREFIX=/usr/local MOUNTDIR=/sbin
	@node dist/scripts/install/main.js install

uninstall: build ## remove what `make install` with the same variables has put there
	@node dist/scripts/install/main.js uninstall

deb: build ## a Debian package in dist/deb (OUT)
	@node dist/scripts/install/main.js deb

clean: ## remove dist and the built addon (node_modules stays)
	rm -rf dist native-bindings/build native-bindings/build-faults .tap

# With -j, tests run after the checks: they measure and mount, and their count is the last line.
ifneq (,$(filter check,$(MAKECMDGOALS)))
test test-clients test-long: check
endif
