################################################################################
#
# The Aegis appliance on Buildroot
#
################################################################################

# What `make vendor` leaves: AEGIS_VERSION, the tarball and its hash.
AEGIS_VENDOR ?= $(BR2_EXTERNAL_AEGIS_PATH)/../target/vendor
-include $(AEGIS_VENDOR)/version.mk

include $(sort $(wildcard $(BR2_EXTERNAL_AEGIS_PATH)/package/*/*.mk))

ifeq ($(BR2_AEGIS_KERNEL),y)
# One make command line for `make -C linux`: allnoconfig with our fragments on. Merging the fragments (Buildroot's next
# step) changes nothing then, and no symbol that they make visible falls to a default of yes.
AEGIS_LINUX_ALLCONFIG = $(BUILD_DIR)/aegis-linux.config
LINUX_KCONFIG_DEFCONFIG = KCONFIG_ALLCONFIG=$(AEGIS_LINUX_ALLCONFIG) allnoconfig

$(AEGIS_LINUX_ALLCONFIG): $(LINUX_KCONFIG_FRAGMENT_FILES)
	mkdir -p $(@D)
	cat $(LINUX_KCONFIG_FRAGMENT_FILES) >$@

$(LINUX_DIR)/$(LINUX_KCONFIG_STAMP_DOTCONFIG): $(AEGIS_LINUX_ALLCONFIG)

define AEGIS_LINUX_CHECK
	$(BR2_EXTERNAL_AEGIS_PATH)/../image/kernel/check $(@D)/.config \
		$(LINUX_KCONFIG_FRAGMENT_FILES)
endef
LINUX_PRE_BUILD_HOOKS += AEGIS_LINUX_CHECK

# Beside the Image that QEMU takes, the kernel that a firmware starts and that unpacks itself (EFI_ZBOOT): a third of its size.
ifeq ($(BR2_aarch64),y)
define AEGIS_LINUX_PACKED
	$(LINUX_MAKE_ENV) $(BR2_MAKE) $(LINUX_MAKE_FLAGS) -C $(@D) vmlinuz.efi
	$(INSTALL) -D -m 0644 $(@D)/arch/arm64/boot/vmlinuz.efi \
		$(BINARIES_DIR)/vmlinuz.efi
endef
LINUX_POST_INSTALL_IMAGES_HOOKS += AEGIS_LINUX_PACKED
endif
endif

ifeq ($(BR2_PACKAGE_AEGIS),y)
# As image/root: each tool an inode of its own (the links of post-fakeroot.sh), stored once.
ROOTFS_SQUASHFS_ARGS += -no-hardlinks -no-xattrs -no-exports
endif
