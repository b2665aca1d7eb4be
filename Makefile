# mcp-authd: GNU make.  `make help` says what there is; everything that is
# built stands under build/ (with SAN=1 under build/asan/).

VERSION	:= 0.1.0
B	:= build$(if $(SAN),/asan)
CFLAGS	?= $(if $(SAN),-O1,-O2) -g
JOBS	?= $(shell nproc)
TEST_JOBS ?= 2
SOAK_SECONDS ?= 600
INTEROP_SECONDS ?= 30
FUZZ_SECONDS ?= 20

# Where `make install` puts things, below DESTDIR.
PREFIX	?= /usr/local
BINDIR	?= $(PREFIX)/bin
LIBDIR	?= $(PREFIX)/lib
DATADIR	?= $(PREFIX)/share

WARN	:= -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	   -Wpointer-arith -Wvla -Wwrite-strings
HARDEN	:= -fstack-protector-strong -fPIE $(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
ifdef SAN
HARDEN	+= -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else
HARDEN	+= -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
INCLUDE	:= -iquote lib -iquote daemon -iquote tests/support -idirafter /usr/share/include/llhttp
DEFINE	:= -D_GNU_SOURCE -DVERSION='"$(VERSION)"'
COMPILE	 = $(CC) -std=gnu11 $(DEFINE) $(INCLUDE) $(WARN) $(CFLAGS) $(HARDEN) $(CPPFLAGS)
LINK	 = $(CC) $(CFLAGS) $(HARDEN) -pie -Wl,-z,relro,-z,now,--as-needed $(LDFLAGS) \
	   -o $@ $(filter %.o %.a,$^) $(LIBS)

pc	 = $(shell pkg-config --libs $1 2>/dev/null)
PURE	:= $(call pc,libcjson libcrypto)
WORLD	:= $(call pc,libevent_core libevent_pthreads libcurl libcjson libssl libcrypto libsystemd)
PEER	:= $(call pc,libevent_core libevent_extra libevent_openssl libcjson libssl libcrypto)
CHECK	:= $(call pc,check)

# What is made of what: sources are found, not listed.
o	 = $(patsubst %.c,$B/%.o,$(wildcard $1))
p	 = $(patsubst %.c,$B/%,$(wildcard $1))
CTL	:= $(call o,daemon/ctl_*.c)
UNIT	:= $(call p,tests/unit/test_*.c)
DAEMON	:= $(call p,tests/daemon/test_*.c)
INTEG	:= $(call p,tests/integration/test_*.c)
SOAK	:= $(call p,tests/soak/soak_*.c)
SOAKSH	:= $(filter-out %.c,$(wildcard tests/soak/soak_*))
ORACLE	:= $(call p,tests/llhttp/*.c)
FUZZ	:= $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
BENCH	:= $(call p,tests/bench/*.c)
SYSTEM	:= $(wildcard tests/system/test_*)

all: $B/mcp-authd $B/mcp-authctl

$B/lib.a: $(call o,lib/*.c)
$B/daemon.a: $(filter-out $(CTL) $B/daemon/main.o,$(call o,daemon/*.c))
$B/support.a: $(call o,tests/support/*.c)
$(foreach d,unit daemon integration,$(eval $B/tests/$d/helpers.a: \
    $(filter-out $B/tests/$d/test_%,$(call o,tests/$d/*.c))))
$B/llhttp.a: $B/llhttp/api.o $B/llhttp/http.o $B/llhttp/llhttp.o

$B/mcp-authd: $B/daemon/main.o $B/daemon.a $B/lib.a
$B/mcp-authctl: $(CTL) $B/daemon.a $B/lib.a
$B/wall: $(call o,tests/wall/*.c) $B/lib.a
$B/demo: $B/tests/demo.o $B/support.a $B/lib.a
$B/pages: $B/tests/pages.o $B/daemon.a $B/lib.a
$(ORACLE): $B/%: $B/%.o $B/lib.a $B/llhttp.a
$(UNIT): $B/%: $B/%.o $B/tests/unit/helpers.a $B/lib.a
$(DAEMON): $B/%: $B/%.o $B/tests/daemon/helpers.a $B/daemon.a $B/lib.a
$(INTEG) $(SOAK): $B/%: $B/%.o $B/tests/integration/helpers.a $B/support.a $B/lib.a
$(BENCH): $B/%: $B/%.o

# Unit tests get nothing of the world: the linker proves that lib/ is pure.
$(UNIT) $(ORACLE): LIBS = $(if $(findstring curl,$@),$(call pc,libcurl)) $(PURE) $(CHECK)
$B/mcp-authd $B/mcp-authctl $B/pages: LIBS = $(WORLD)
$(DAEMON): LIBS = $(WORLD) $(CHECK)
$B/wall $B/demo $(INTEG) $(SOAK): LIBS = $(PEER) $(CHECK)

$B/mcp-authd $B/mcp-authctl $B/wall $B/demo $B/pages $(UNIT) $(ORACLE) $(DAEMON) $(INTEG) $(SOAK) $(BENCH):
	$(LINK)

$B/%.a:
	@mkdir -p $(@D) && rm -f $@
	$(AR) Dcrs $@ $^

$B/%.o: %.c Makefile | $B/.deps
	@mkdir -p $(@D)
	$(COMPILE) -MMD -MP -c -o $@ $<

$B/llhttp/%.o: /usr/share/llhttp/%.c Makefile | $B/.deps
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(HARDEN) -w -DLLHTTP_STRICT_MODE=1 -I/usr/share/include/llhttp -c -o $@ $<

build/fuzz/%: tests/fuzz/%.c $(wildcard lib/*.[ch]) Makefile
	@mkdir -p $(@D)
	clang -std=gnu11 $(DEFINE) $(INCLUDE) -O1 -g -fsanitize=fuzzer,address,undefined \
	    -fno-sanitize=pointer-overflow -fno-sanitize-recover=all -o $@ $< $(wildcard lib/*.c) $(PURE)

$B/.deps:
	@tests/install-deps --check build
	@mkdir -p $B && touch $@

# What people call.  Those that install what is missing then call make anew,
# which looks at pkg-config again.
AGAIN	 = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS))
RUN	 = BUILD=$B SAN=$(SAN) tests/run -j $(TEST_JOBS)

programs: all $B/wall $B/demo $B/pages $(UNIT) $(ORACLE) $(DAEMON) $(INTEG) $(SOAK) $(BENCH)

demo run:
	@tests/install-deps build
	@$(AGAIN) -s all $B/wall $B/demo
	@BUILD=$B $B/demo $(if $(filter run,$@),--stay)

check:
	@tests/install-deps build test
	@$(AGAIN) -s programs
	@$(RUN) $(INTEG) $(DAEMON) $(UNIT) $(ORACLE) tests/layers tests/docs tests/schema

check-asan:
	@$(MAKE) --no-print-directory SAN=1 check

check-system:
	@tests/install-deps build test system
	@$(AGAIN) -s programs
	@$(RUN) -s $(SYSTEM)

check-interop:
	@tests/install-deps build test interop
	@tests/install-deps browser || echo 'going on without a browser'
	@$(AGAIN) -s all
	@BUILD=$B INTEROP_SECONDS=$(INTEROP_SECONDS) tests/interop/run

soak:
	@tests/install-deps build test soak
	@$(AGAIN) -s programs
	@SOAK_SECONDS=$(SOAK_SECONDS) $(RUN) -t $$(($(SOAK_SECONDS) + 300)) $(SOAK) $(SOAKSH)

bench:
	@tests/install-deps build bench
	@$(AGAIN) -s all $(BENCH)
	@BUILD=$B tests/bench/run

fuzz:
	@tests/install-deps build fuzz
	@$(AGAIN) -s $(FUZZ)
	@for f in $(FUZZ); do n=$${f##*/fuzz_}; mkdir -p build/fuzz/corpus/$$n; \
	    known=$$(ls -d tests/corpus/$$n 2>/dev/null); echo "$$f: $(FUZZ_SECONDS) s"; \
	    $$f -max_total_time=$(FUZZ_SECONDS) -verbosity=0 -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/$$n- build/fuzz/corpus/$$n $$known || exit 1; done

# What is installed, "from to" each.  Units are written with the path of the
# programs put in.
UNITS	:= $(wildcard systemd/system/* systemd/user/*)
PAGES	:= $(wildcard config/*.[158])
FILES	:= $(foreach p,mcp-authd mcp-authctl,$B/$p,$(BINDIR)/$p) \
	   $(foreach p,$(PAGES),$p,$(DATADIR)/man/man$(subst .,,$(suffix $p))/$(notdir $p)) \
	   $(foreach u,$(UNITS),$u,$(LIBDIR)/$u) \
	   $(foreach d,sysusers tmpfiles,systemd/$d.d/mcp-authd.conf,$(LIBDIR)/$d.d/mcp-authd.conf) \
	   config/config.json,$(DATADIR)/doc/mcp-authd/config.json \
	   config/schema.json,$(DATADIR)/mcp-authd/schema.json

install: all
	@for f in $(FILES); do \
	    from=$${f%%,*} to=$(DESTDIR)$${f#*,}; \
	    case $$from in $B/*) mode=755 ;; *) mode=644 ;; esac; \
	    install -D -m $$mode "$$from" "$$to" || exit 1; \
	    case $$from in systemd/*/*.service) sed -i 's,@BINDIR@,$(BINDIR),' "$$to" || exit 1 ;; esac; \
	    echo "$$to"; done

uninstall:
	@for f in $(FILES); do rm -f "$(DESTDIR)$${f#*,}" || exit 1; done
	@for d in $(DATADIR)/doc/mcp-authd $(DATADIR)/mcp-authd; do \
	    [ ! -d "$(DESTDIR)$$d" ] || rmdir "$(DESTDIR)$$d"; done

install-deps:
	tests/install-deps build test system soak bench fuzz

clean:
	rm -rf build

help:
	@echo 'make               build/mcp-authd and build/mcp-authctl'
	@echo 'make demo          the whole story in front of a demonstration server, under 15 s'
	@echo 'make run           leaves the same set-up running and says what to try'
	@echo 'make check         every test; make check-asan: the same under ASan and UBSan'
	@echo 'make check-system  what needs a real system (says what it skips)'
	@echo 'make check-interop official clients and servers, real logins with a browser, INTEROP_SECONDS=$(INTEROP_SECONDS) of load'
	@echo 'make soak          long runs, SOAK_SECONDS=$(SOAK_SECONDS); make fuzz: FUZZ_SECONDS=$(FUZZ_SECONDS) each'
	@echo 'make bench         CPU a request beside nginx'
	@echo 'make install       programs, man pages and units below PREFIX=$(PREFIX); make uninstall'
	@echo 'make install-deps  Debian packages for all of this; make clean'
	@echo 'Variables: CC CFLAGS LDFLAGS SAN=1 JOBS TEST_JOBS DESTDIR PREFIX'

.PHONY: all programs demo run check check-asan check-system check-interop soak bench fuzz install uninstall \
	install-deps clean help
.SECONDARY:
.DELETE_ON_ERROR:
-include $(wildcard $B/lib/*.d $B/daemon/*.d $B/tests/*.d $B/tests/*/*.d)
