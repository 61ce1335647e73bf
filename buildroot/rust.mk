################################################################################
#
# The Rust compiler (BR2_PACKAGE_OVERRIDE_FILE: read before Buildroot's packages)
#
################################################################################

# The one that the tests run with, whatever a release of Buildroot has: 1.88 in
# 2026.02 is too old for us. Hashes are in patches/rust-bin/rust-bin.hash.
override RUST_BIN_VERSION = 1.95.0

# What that setting names when we don't.
-include $(CONFIG_DIR)/local.mk
