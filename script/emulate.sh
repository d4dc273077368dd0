# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # what the sourcing script defines
# What check-neon and check-avx512 share; sourced, not run. Builds the kernels and their two tests and runs these.
# The sourcing script defines
#   out     folder of objects and programs
#   cc      compiler, with the flags of all sources
#   run     command before a test's name, or nothing
#   few     "few" where the emulator is too slow for all shapes of test_dots
#   isa     what the names of the versions begin with that must have run
#   flags_of SOURCE: flags of this one
set -euo pipefail

flags="-std=c17 -D_GNU_SOURCE -ffp-contract=off -fno-math-errno -Isrc -Itests -Itests/kernel/emulate
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla"

compile() { # only what changed since the last run
  local object="$out/${1//\//_}.o"
  if [ ! "$object" -nt "$1" ] ||
    [ -n "$(find src tests script -newer "$object" \( -name '*.h' -o -path 'script/*' \) -print -quit)" ]; then
    # shellcheck disable=SC2046,SC2086
    $cc $flags $(flags_of "$1") -c "$1" -o "$object"
  fi
  objects="$objects $object"
}

check_kernels() { # SOURCE...
  local objects="" test
  mkdir -p "$out"
  for source in "$@" src/base/clock.c src/base/random.c; do
    compile "$source"
  done
  local shared=$objects
  for test in test_dots test_kernels; do
    objects=$shared
    compile "tests/kernel/$test.c"
    # shellcheck disable=SC2086
    $cc -static $objects -lm -o "$out/$test"
  done
  # shellcheck disable=SC2086
  { $run "$out/test_dots" $few && $run "$out/test_kernels"; } | tee "$out/log"
  if ! grep -q "checked:.* $isa" "$out/log" || ! grep -q " $isa.*: worst error" "$out/log"; then
    echo "no version $isa ran" >&2
    exit 1
  fi
}
