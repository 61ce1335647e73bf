################################################################################
#
# aegisctl
#
################################################################################

# The same tarball as the device's agent.
AEGISCTL_VERSION = $(AEGIS_VERSION)
AEGISCTL_SOURCE = $(AEGIS_SOURCE)
AEGISCTL_DL_SUBDIR = aegis
AEGISCTL_SITE = $(AEGIS_SITE)
AEGISCTL_SITE_METHOD = file
AEGISCTL_LICENSE = Apache-2.0
AEGISCTL_SUBDIR = ground
HOST_AEGISCTL_PRE_DOWNLOAD_HOOKS += AEGIS_CHECK_VENDORED AEGIS_TAKE_VENDORED

$(eval $(host-cargo-package))

HOST_AEGISCTL_HASH_FILES += $(AEGIS_VENDOR)/aegis.hash
