#!/bin/sh
# SPDX-License-Identifier: MIT
#
# layers.sh SOURCES - checks that each folder of SOURCES includes only folders before it in the
# order below, that src/malloc includes only folders that are in its library, and that no header
# includes itself through others. Prints TAP.
set -u
sources=$1
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else echo "not ok $ntests - $2"; fi
}

includes_of() { # file...: what they include of the library, as FOLDER/NAME.h
    cat "$@" | sed -n 's/^#include "\([a-z_]*\/[a-z_0-9]*\.h\)".*/\1/p' | sort -u
}

below_of() { # folder: the folders that it may include
    case $1 in
    base) echo base ;;
    ledger) echo base ledger ;;
    slots) echo base ledger slots ;;
    core) echo base ledger slots core ;;
    heaps) echo base ledger slots core heaps ;;
    classic) echo base ledger slots core heaps classic ;;
    malloc) echo base ledger slots core malloc ;;
    esac
}

for folder in "$sources"/*/; do
    name=$(basename "$folder")
    above=''
    for header in $(includes_of "$folder"*.[ch]); do
        case " $(below_of "$name") " in
        *" ${header%/*} "*)
            [ -e "$sources/$header" ] || above="$above $header (which does not exist)"
            ;;
        *) above="$above $header" ;;
        esac
    done
    [ -z "$above" ]
    result $? "$name includes nothing above it${above:+, except:$above}"
done

# tsort prints the headers that include each other in a circle.
circle=$(for header in "$sources"/*/*.h; do
    for included in $(includes_of "$header"); do echo "$included ${header#"$sources/"}"; done
done | tsort 2>&1 >/dev/null | grep -v 'loop:$' | sed 's/^tsort: //' | tr '\n' ' ')
[ -z "$circle" ]
result $? "no header includes itself through others${circle:+: $circle}"
# The map names each module.
unnamed=''
for file in "$sources"/*/*.[ch]; do
    module=$(basename "${file%.*}")
    grep -qw "$module" "$sources/README.md" || unnamed="$unnamed $module"
done
[ -z "$unnamed" ]
result $? "README.md of the source names each module${unnamed:+, except:$unnamed}"
echo "1..$ntests"
