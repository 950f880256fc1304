#!/bin/sh
# What the tests need of the system, beside Python and make: tools that are not ours, to check ours against.
#   ensure    install what is missing where that is possible (root and apt), else name it and fail
#   install   the same, always trying
set -eu

missing() {
  command -v age >/dev/null 2>&1 || printf 'age '
  command -v ewfacquirestream >/dev/null 2>&1 || printf 'ewf-tools '
  { command -v mke2fs || command -v /usr/sbin/mke2fs || command -v /sbin/mke2fs; } >/dev/null 2>&1 || printf 'e2fsprogs '
  command -v strace >/dev/null 2>&1 || printf 'strace '
  command -v curl >/dev/null 2>&1 || printf 'curl '
  command -v openssl >/dev/null 2>&1 || printf 'openssl '
  command -v go >/dev/null 2>&1 || printf 'golang-go '
  [ -d /usr/share/gocode/src/golang.org/x/mod/sumdb ] || printf 'golang-golang-x-mod-dev '
  command -v node >/dev/null 2>&1 || printf 'nodejs '
  command -v npm >/dev/null 2>&1 || printf 'npm '
  { command -v chromium || command -v google-chrome; } >/dev/null 2>&1 || printf 'chromium '
  { command -v firefox-esr || command -v firefox; } >/dev/null 2>&1 || printf 'firefox-esr '
}

want=$(missing)
[ -n "$want" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing: $want"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >/dev/null
  # shellcheck disable=SC2086 # a list of package names
  apt-get install -y -qq --no-install-recommends $want >/dev/null
  want=$(missing)
  [ -n "$want" ] || exit 0
fi
echo "error: the tests need of the system: $want" >&2
echo "hint: run 'make system' as root on Debian or Ubuntu, or install these by your system's own means" >&2
exit 7
