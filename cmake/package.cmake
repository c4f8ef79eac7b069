# cpack --config BUILD/CPackConfig.cmake: rlhfd_VERSION_ARCH.deb, one package. The programs find each other beside them and speak to
# those of one build, so a machine has all of them, or none.
set(debian ${CMAKE_SOURCE_DIR}/packaging/debian)
set(RLHFD_MAINTAINER "rlhfd maintainers <maintainers@rlhfd.dev>" CACHE STRING "Maintainer of the Debian package")

# 0.1.0-12-gabc1234 is 0.1.0+12.gabc1234: after 0.1.0, and without a hyphen, behind which Debian's own revision stands.
string(REGEX REPLACE "^([0-9.]+)-" "\\1+" debian_version ${RLHFD_VERSION})
string(REPLACE "-" "." debian_version ${debian_version})

# What only the package has. Paths are absolute: /etc and /usr/lib are no part of a prefix.
set(of_package COMPONENT package EXCLUDE_FROM_ALL)
install(FILES ${debian}/rlhfd-learner.service ${debian}/rlhfd-generator@.service ${debian}/rlhfd-rewarder@.service
    DESTINATION /lib/systemd/system ${of_package})
install(FILES ${debian}/rlhfd.sysusers DESTINATION /usr/lib/sysusers.d RENAME rlhfd.conf ${of_package})
install(FILES ${debian}/rlhfd.tmpfiles DESTINATION /usr/lib/tmpfiles.d RENAME rlhfd.conf ${of_package})
install(FILES ${debian}/recipe.yaml DESTINATION /etc/rlhfd ${of_package})
install(FILES ${debian}/copyright DESTINATION /usr/share/doc/rlhfd ${of_package})
install(FILES ${debian}/lintian-overrides DESTINATION /usr/share/lintian/overrides RENAME rlhfd ${of_package})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME rlhfd)
set(CPACK_PACKAGE_VENDOR rlhfd)
set(CPACK_PACKAGE_CONTACT ${RLHFD_MAINTAINER})
set(CPACK_PACKAGE_VERSION ${debian_version})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "train language models from feedback while they generate")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "Long-running daemons joined in a ring: a generator decodes completions,\na rewarder scores them, and a learner keeps the scored groups in a durable\nlog, trains on them and sends new weights back. rlhfctl starts a run on\none machine and steers it; systemd units run the daemons on several.")
set(CPACK_INSTALL_CMAKE_PROJECTS "${CMAKE_BINARY_DIR};rlhfd;Unspecified;/;${CMAKE_BINARY_DIR};rlhfd;package;/")
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/packaging/prepare.cmake)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS systemd)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "python3")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${debian}/postinst ${debian}/prerm ${debian}/postrm ${CMAKE_BINARY_DIR}/conffiles)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
file(WRITE ${CMAKE_BINARY_DIR}/conffiles "/etc/rlhfd/recipe.yaml\n")
include(CPack)
