# The front door. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# What is built is found under target/, wherever the caller's own builds go.
unexport CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR

ARCH   ?= x86_64
KERNEL ?= own
TARGET := $(ARCH)-unknown-linux-musl
PROGRAMS := $(shell . image/lib.sh && programs | cut -d' ' -f1)
TOOLS  := target/debug

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

deps: ## install what is missing: Debian packages by apt, Rust targets by rustup
	@image/deps $(ARCH)

agent: deps ## the programs of the device (image/limits): the agent, one static binary, and what is beside it
	@echo "aegis: building $(PROGRAMS) ($(TARGET))" >&2
	@cargo build --release $(PROGRAMS:%=--package %) --target $(TARGET)

tools: ## aegisctl and aegis-qemu, for this workstation
	@echo "aegis: building the tools" >&2
	@cargo build --package aegisctl --package aegis-qemu

sbom: deps tools ## what the tools are made of, target/debug/tools.cdx.json (CycloneDX); an image's is made with it
	@rm -f $(TOOLS)/tools.cdx.json
	@image/crates . "$$(rustc -vV | sed -n 's/^host: //p')" aegisctl aegis-qemu >$(TOOLS)/.tools.crates
	@image/sbom programs "$$(sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml)" $(TOOLS)/.tools.crates $(TOOLS)/aegisctl $(TOOLS)/aegis-qemu >$(TOOLS)/.tools.cdx
	@mv $(TOOLS)/.tools.cdx $(TOOLS)/tools.cdx.json

keys: target/keys/root.cbor target/keys/secure-boot/db.auth ## development keys under target/keys (never committed)
# Only what is missing is made; what is made anew is said.
target/keys/root.cbor: always | tools
	@image/development-keys $(@D) $(TOOLS)/aegisctl
target/keys/secure-boot/db.auth: | target/keys/root.cbor
	@image/secure-boot-keys $(@D)
always:

policy: target/policy/baseline.aegis ## the baseline policy, signed with the development key
target/policy/baseline.aegis: policy-bundles/baseline.toml target/keys/root.cbor | tools
	@mkdir -p $(@D)
	@$(TOOLS)/aegisctl bundle build --policy $< --key target/keys/policy.key --sequence 1 --out $@ >&2

image: agent keys policy ## the appliance image (ARCH=x86_64|aarch64 KERNEL=own|debian|debian-RELEASE)
	@image/build --arch $(ARCH) --kernel $(KERNEL)

firmware: target/image/$(ARCH)/firmware.fd ## a virtual UEFI firmware's variables, with the development Secure Boot keys in them
target/image/$(ARCH)/firmware.fd: target/keys/secure-boot/db.auth qemu/enroll
	@mkdir -p $(@D)
	@qemu/enroll $(ARCH) $(<D) $@

vendor: deps ## the source for Buildroot: workspace, crates and compiled probes in one tarball, under target/vendor
	@buildroot/vendor

check-buildroot: ## the external tree against BUILDROOT=DIR, without building (docs/buildroot.md); skipped without one
	@buildroot/check $(BUILDROOT)

run: image ## boot the demo in QEMU, then verify its evidence
	@qemu/play --arch $(ARCH) --kernel $(KERNEL)

test: deps ## everything that is tested, boots included
	@tests/run

test-long: image firmware ## what is not in `make test`: many boots, long waits (disks lost and cut, images that fail, runbooks, upgrades)
	@. tests/long; AEGIS_NO_BUILD=1 cargo test --package aegis-tests --test e2e -- --test-threads=2 --exact "$${LONG[@]}"

nightly: ## what takes long, one after the other, for most of a day: deny, test-long, models, sanitize, reproducible, kills, update-cuts, chaos, a soak of ten minutes, fuzz (ten minutes each)
	@rm -rf target/nightly
	@export AEGIS_ENDURE=target/nightly; for target in deny test-long models sanitize reproducible kills update-cuts chaos soak "fuzz SECONDS=600"; do $(MAKE) $$target; done

suite: image ## the edge-case suite on ARCH=x86_64 KERNEL=own; AEGIS_SUITE="NAME GROUP …" for some of it
	@AEGIS_ARCH=$(ARCH) AEGIS_KERNEL=$(KERNEL) AEGIS_NO_BUILD=1 cargo test --quiet --package aegis-tests --test e2e -- --test-threads=1 --nocapture suite::

kernels: deps ## the edge-case suite on our kernel and five of Debian's; writes docs/evidence/kernels.md. KERNELS="own debian-5.10": only these
	@cargo run --quiet --package aegis-tests --bin kernels

cuts: deps ## the ring's long run: 100,000 power cuts in a simulated device, and as many in its sealer's
	@AEGIS_CUTS=100000 cargo test --release --package aegis-ring --package aegis-seal --test cuts -- --nocapture

fuzz: deps ## fuzz all that reads bytes from outside; SECONDS=1800: so long each
	@tests/fuzz/run $(SECONDS)

coverage: deps ## lines and branches of the pure crates that their tests run; fails below tests/coverage-floor
	@tests/coverage

models: deps ## what must never be wrong, every case of a larger scope than in `make test`; threads by loom (docs/assurance.md)
	@tests/models/run

kills: image ## power cuts of a guest under load, KILLS=100; goes on where it was interrupted, writes docs/evidence/kills.md
	@cargo run --quiet --package aegis-tests --bin kills

update-cuts: image firmware ## power cuts in the middle of image updates, CUTS=100; writes docs/evidence/update-cuts.md
	@AEGIS_UPDATE_CUTS=$(or $(CUTS),100) AEGIS_UPDATE_PAGE=$(CURDIR)/docs/evidence/update-cuts.md AEGIS_NO_BUILD=1 \
		cargo test --quiet --package aegis-tests --test e2e -- --nocapture update::power_cuts

swaps: image ## swaps of the policy under readers, and rollbacks with 10,000 rules, SWAPS=1000; writes docs/evidence/swaps.md
	@cargo run --quiet --package aegis-tests --bin swaps

reproducible: image ## agent and image of HEAD, built in two folders and compared byte for byte
	@tests/reproducible $(ARCH)

flaky: image ## the scenarios again and again on a host kept busy: ROUNDS=5 BURN=4; NAME=… for some of them
	@tests/flaky $(NAME)

bench: image ## what enforcement costs, by time and by instructions (docs/benchmarks.md), ROUNDS=5; writes docs/evidence/bench.md
	@cargo run --quiet --package aegis-tests --bin bench

storm: image ## how many events a second come to the disk, what becomes of more, how long each takes; writes docs/evidence/storm.md
	@cargo run --quiet --package aegis-tests --bin storm

peers: KERNEL = debian
peers: image ## auditd, bpftrace and every program in PEERS=DIR on the same work, ROUNDS=3 (tests/peers/README.md); writes docs/evidence/peers.md
	@AEGIS_KERNEL=$(KERNEL) AEGIS_NO_BUILD=1 cargo run --quiet --package aegis-tests --bin peers

chaos: image ## processes stopped and killed, no memory, no room, disks that fail, ten years on and back: CHAOS=50 rounds, ten minutes, in pieces if it must be; writes docs/evidence/chaos.md
	@cargo run --quiet --package aegis-tests --bin endure chaos

soak: image ## a steady load, and each minute a new policy, and the laws: HOURS=n, else ten minutes; in pieces if it must be; writes docs/evidence/soak.md
	@cargo run --quiet --package aegis-tests --bin endure soak

site-load: agent ## the site network's endpoint under wrk: answers a second, how long they take, what the server weighs
	@AEGIS_SITE=$(CURDIR)/target/$(TARGET)/release/aegis-site cargo test --quiet --package aegis-site --test endpoint -- --ignored --nocapture load

bench-boot: image ## from the kernel's start to a policy in force, beside the same image without the agent; ROUNDS=5
	@tests/bench-boot

bench-ring: deps ## the ring's speed beside a plain file, SQLite, fjall and sequential-storage; figures in target/bench-ring/*.json
	@mkdir -p target/bench-ring
	@cargo run --quiet --release --manifest-path tests/bench-ring/Cargo.toml --target-dir target/bench-ring/build -- --dir target/bench-ring/data --json >target/bench-ring/ring.json
	@RUSTFLAGS='--cfg sha2_backend="soft"' cargo run --quiet --release --no-default-features --manifest-path tests/bench-ring/Cargo.toml --target-dir target/bench-ring/build-soft -- --dir target/bench-ring/data --only-verify --json >target/bench-ring/ring-soft.json

convert-big: deps ## 10 GiB of exports verified and converted in 256 MiB, MIB=10240; writes docs/evidence/convert.md
	@ground/tests/evidence/big.py

sanitize: deps ## the tests of what has unsafe code, under the address sanitizer (docs/assurance.md)
	@tests/sanitize

lint: ## formatting and clippy
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets -- --deny warnings
	@tests/fuzz/run --lint
	@cargo clippy --quiet --locked --manifest-path tests/models/Cargo.toml --target-dir target/models --all-targets -- --deny warnings

deny: ## crates against deny.toml: licences, sources, versions, what is banned; builds cargo-deny first (docs/assurance.md)
	@tests/deny

advisories: ## crates against RustSec's advisories, which a network is needed for
	@tests/deny advisories

fmt: ## format the code
	@cargo fmt --all

clean: ## remove what was built (the kernel cache outside the clone stays)
	@rm -rf target

.PHONY: help deps always agent tools sbom keys policy image firmware vendor check-buildroot run test test-long nightly suite kernels cuts kills update-cuts swaps reproducible flaky bench storm peers chaos soak site-load bench-boot bench-ring fuzz coverage models sanitize convert-big lint deny advisories fmt clean
