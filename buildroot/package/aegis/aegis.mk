################################################################################
#
# aegis
#
################################################################################

# AEGIS_VERSION is in target/vendor/version.mk. It holds the tarball's own hash, so that no older one is taken from dl/.
AEGIS_VERSION ?= unvendored
AEGIS_SOURCE = aegis-$(AEGIS_VERSION).tar.xz
AEGIS_SITE = $(AEGIS_VENDOR)
AEGIS_SITE_METHOD = file
AEGIS_LICENSE = Apache-2.0
AEGIS_SUBDIR = firmware/aegis

define AEGIS_CHECK_VENDORED
	@test "$(AEGIS_VERSION)" != unvendored || { \
		echo "aegis: no source in $(AEGIS_VENDOR) (run 'make vendor' in the project)" >&2; \
		exit 1; }
endef
AEGIS_PRE_DOWNLOAD_HOOKS += AEGIS_CHECK_VENDORED

# Into dl/ by hand: with BR2_PRIMARY_SITE_ONLY Buildroot asks no package's own site, a folder on this machine neither.
define AEGIS_TAKE_VENDORED
	$(Q)test -f $(AEGIS_DL_DIR)/$(AEGIS_SOURCE) || $(INSTALL) -D -m 0644 \
		$(AEGIS_VENDOR)/$(AEGIS_SOURCE) $(AEGIS_DL_DIR)/$(AEGIS_SOURCE)
endef
AEGIS_PRE_DOWNLOAD_HOOKS += AEGIS_TAKE_VENDORED

AEGIS_RUST_TARGET = $(RUSTC_TARGET_NAME)
AEGIS_PROFILE = $(if $(BR2_ENABLE_DEBUG),debug,release)

# cargo-package overrides the workspace's release profile from the environment: say it again (check-buildroot compares).
# Then: linked static whatever the compiler's default, and not telling in panics where it was built.
AEGIS_CARGO_ENV = \
	CARGO_PROFILE_RELEASE_OPT_LEVEL="z" \
	CARGO_PROFILE_RELEASE_LTO="fat" \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS="1" \
	CARGO_PROFILE_RELEASE_PANIC="abort" \
	CARGO_PROFILE_RELEASE_STRIP="symbols" \
	CARGO_TARGET_$(call UPPERCASE,$(AEGIS_RUST_TARGET))_RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$(@D)/= $(AEGIS_SMALLER)" \
	AEGIS_PROBES_PREBUILT="1"

# As .cargo/config.toml has it, which the environment overrides.
AEGIS_SMALLER = $(if $(BR2_x86_64),-C llvm-args=-enable-machine-outliner=always)

# Its crates are asked for with jq, and the list of parts is made with it (post-image.sh).
AEGIS_DEPENDENCIES = host-jq

# For the list: the crates, which only the package knows; and what only make knows, each time that an image is made.
AEGIS_INSTALL_IMAGES = YES
define AEGIS_INSTALL_IMAGES_CMDS
	mkdir -p $(BINARIES_DIR)/.parts
	$(TARGET_MAKE_ENV) $(PKG_CARGO_ENV) CARGO_NET_OFFLINE=true \
		$(BR2_EXTERNAL_AEGIS_PATH)/../image/crates $(@D) \
		$(AEGIS_RUST_TARGET) $(AEGIS_PROGRAMS) >$(BINARIES_DIR)/.parts/crates
endef
define AEGIS_LIST_OTHER_PARTS
	$(BR2_EXTERNAL_AEGIS_PATH)/board/aegis/common/parts.sh \
		$(BINARIES_DIR)/.parts/others $(AEGIS_OTHER_PARTS)
endef
AEGIS_OTHER_PARTS = linux=$(LINUX_VERSION) $(if $(BR2_PACKAGE_AEGIS_DEBUG),\
	busybox=$(BUSYBOX_VERSION) mksh=$(MKSH_VERSION) musl=$(MUSL_VERSION))

AEGIS_ROOT_CBOR = $(call qstrip,$(BR2_PACKAGE_AEGIS_ROOT_CBOR))
AEGIS_BASELINE = $(call qstrip,$(BR2_PACKAGE_AEGIS_BASELINE))

ifeq ($(BR2_PACKAGE_AEGIS_DEBUG),y)
# Init starts the shell with it, and Buildroot's busybox leaves it out.
define AEGIS_BUSYBOX_CONFIG_FIXUPS
	$(call KCONFIG_ENABLE_OPT,CONFIG_CTTYHACK)
endef
endif

# The quick builder's list: a name and its bound a line.
AEGIS_PROGRAMS_FILE = $(BR2_EXTERNAL_AEGIS_PATH)/../image/limits
AEGIS_PROGRAMS = $(shell sed -n 's/^\([a-z-]*\) [0-9]*$$/\1/p' $(AEGIS_PROGRAMS_FILE))
AEGIS_CARGO_BUILD_OPTS = $(addprefix --package=,$(AEGIS_PROGRAMS))

define AEGIS_INSTALL_TARGET_CMDS
	$(foreach program,$(AEGIS_PROGRAMS),$(INSTALL) -D -m 0755 \
		$(@D)/target/$(AEGIS_RUST_TARGET)/$(AEGIS_PROFILE)/$(program) \
		$(TARGET_DIR)/usr/bin/$(program)$(sep))
	ln -sfn aegis $(TARGET_DIR)/usr/bin/init
	$(INSTALL) -D -m 0644 $(@D)/built $(TARGET_DIR)/etc/aegis/built
	$(INSTALL) -D -m 0644 $(AEGIS_ROOT_CBOR) \
		$(TARGET_DIR)/etc/aegis/root.cbor
	$(INSTALL) -D -m 0644 $(AEGIS_BASELINE) \
		$(TARGET_DIR)/etc/aegis/baseline.aegis
endef

$(eval $(cargo-package))

ifeq ($(BR2_PACKAGE_AEGIS),y)
TARGET_FINALIZE_HOOKS += AEGIS_LIST_OTHER_PARTS
endif

AEGIS_HASH_FILES += $(AEGIS_VENDOR)/aegis.hash
