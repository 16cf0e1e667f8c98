#!/bin/bash
# SPDX-License-Identifier: MIT
#
# arm64.sh - runs what an emulator of programs cannot show in an emulated arm64 machine, whose
# kernel has pages of 16 KiB: heaps above 64 GiB, limits, locked memory, core files, guard pages.
#
#     test/arm64.sh BUILD       BUILD has been made by the compiler for arm64
#
# The kernel and busybox are Debian's packages, unpacked into build/arm64-system. A core file that
# the machine writes is read by the tool of this machine, build/mem, and both tools must agree.
# A slow machine may skip some tests: each line says how many. Prints TAP.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1 system=$PWD/build/arm64-system libraries=/usr/aarch64-linux-gnu/lib
programs=(unit/core/usage unit/ledger/chunks contract/classic/c01_init
    contract/heaps/{h01_steps,h09_statistics,h13_guard_pages,h14_parts}
    contract/malloc/{m07_calls,m09_meaning,m12_hard})
ntests=0

result() { # status what
    ntests=$((ntests + 1))
    if [ "$1" -eq 0 ]; then echo "ok $ntests - $2"; else echo "not ok $ntests - $2"; fi
}

# Runs a program of apt for arm64, with Debian 12 and its backports as the only sources.
apt_arm64() { # program argument...
    "$1" -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root \
        -o Dir::State="$system/apt" -o Dir::State::status=/dev/null -o Dir::Cache="$system/apt" \
        -o Dir::Etc::sourcelist="$system/sources.list" -o Dir::Etc::sourceparts=/dev/null "${@:2}"
}

unpack_system() {
    local kernel suite
    [ ! -e "$system/vmlinuz" ] || return 0
    mkdir -p "$system/apt/lists/partial" "$system/apt/archives/partial" "$system/root"
    for suite in bookworm bookworm-backports; do
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
            "http://deb.debian.org/debian $suite main"
    done >"$system/sources.list"
    apt_arm64 apt-get update
    kernel=$(apt_arm64 apt-cache search --names-only '^linux-image-[0-9].*-arm64-16k-unsigned$' |
        cut -d ' ' -f 1 | sort -V | tail -n 1)
    (cd "$system" && apt_arm64 apt-get download "$kernel" busybox-static) || return 1
    dpkg-deb --fsys-tarfile "$system"/linux-image-*.deb | tar -x -C "$system" ./boot
    dpkg -x "$system"/busybox-static_*.deb "$system/root"
    mv "$system"/boot/vmlinuz-* "$system/vmlinuz"
    rm -rf "$system"/*.deb "${system:?}"/{apt,boot}
}

# What the machine runs first. It prints a line for each program: RESULT, the name, the exit status,
# how many tests passed, and how many were skipped. The core file comes between two lines, in text.
write_init() {
    cat <<EOF
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin LD_LIBRARY_PATH=/w
mount -t proc proc /proc; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
cd /tmp
echo core >/proc/sys/kernel/core_pattern
grep -m 1 KernelPageSize /proc/self/smaps
for program in ${programs[*]}; do
    case \$program in
    *m12_*) export LD_PRELOAD=/w/libmem-malloc.so LIBMEM=hard ;;
    */malloc/m*) export LD_PRELOAD=/w/libmem-malloc.so ;;
    esac
    timeout 900 /w/test/\$program >out 2>&1
    status=\$?
    unset LD_PRELOAD LIBMEM
    grep -E '^not ok|ERROR|LINE' out | head -n 5
    echo "RESULT \$program \$status \$(grep -cE '^ok|       OK' out)" \
        "\$(grep -cE '# SKIP|  SKIPPED . test_' out)"
done
ulimit -c unlimited
LIBMEM=region=64M LD_PRELOAD=/w/libmem-malloc.so /w/test/contract/malloc/limits abort
/w/mem sizes core* | sed 's/^/SIZES /'
echo BEGIN; gzip -c core* | base64; echo END
poweroff -f
EOF
}

pack() { # what the kernel unpacks and runs
    local root=$system/root
    rm -rf "$root/w" && mkdir -p "$root"/{dev,proc,tmp,lib,w}
    cp -L "$libraries"/{ld-linux-aarch64.so.1,libc.so.6,libdl.so.2,libm.so.6} "$root/lib"
    cp -L build/arm64/cmocka/usr/lib/aarch64-linux-gnu/libcmocka.so.0 "$root/lib"
    cp -L "$build"/{mem,libmem.so.1,libmem-malloc.so} "$root/w"
    for program in "${programs[@]}" contract/malloc/limits; do
        install -D "$build/test/$program" "$root/w/test/$program"
    done
    write_init >"$root/init" && chmod +x "$root/init"
    (cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$system/initrd.gz"
}

if ! { unpack_system && pack; } >"$system.log" 2>&1; then
    tail -n 5 "$system.log" >&2
    echo '1..0 # SKIP the kernel for arm64, or what runs in it, cannot be had'
    exit 0
fi
timeout 1700 qemu-system-aarch64 -M virt -cpu max,pauth-impdef=on -smp 2 -m 4096 -nographic \
    -nic none -no-reboot -kernel "$system/vmlinuz" -initrd "$system/initrd.gz" \
    -append 'console=ttyAMA0 quiet panic=-1' </dev/null 2>&1 | tr -d '\r' >"$system.log"
grep -q 'KernelPageSize: *16 kB' "$system.log"
result $? 'the kernel has pages of 16 KiB'
for program in "${programs[@]}"; do
    line=$(grep "RESULT $program " "$system.log")
    read -r _ _ status passed skipped <<<"$line"
    [ "${status:-1}" -eq 0 ] && [ "$passed" -gt 0 ]
    result $? "$program: ${passed:-0} passed, ${skipped:-0} skipped"
done
sed -n '/^BEGIN$/,/^END$/p' "$system.log" | sed '1d;$d' | base64 -d 2>/dev/null |
    gzip -d >"$system/core" 2>/dev/null
(cd "$system" && ../mem sizes core) >"$system/sizes"
result $? "a core file of that kernel, with $(stat -c %s "$system/core") bytes, is read here"
sed -n 's/^SIZES //p' "$system.log" | cmp - "$system/sizes" && [ -s "$system/sizes" ]
result $? 'and the tool says there and here what lies in the heap, alike'
echo "1..$ntests"
