#!/bin/sh
# Pull and plug a real CDC-ACM port: a guest kernel's USB gadget on its own USB host, in QEMU.
#
#   tests/qemu/replug.sh KERNEL_FOLDER [TRIES]
#
# KERNEL_FOLDER holds boot/vmlinuz-* and lib/modules/*, as `dpkg-deb -x linux-image-*.deb FOLDER`
# makes it. Needs qemu-system-x86_64, a static busybox, cpio and modprobe; no root. The guest sees
# this machine's files, read-only, and runs the Python in .venv.
set -eu
kernel=$(cd "$1" && pwd)
tries=${2:-10}
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(ls "$kernel/lib/modules")
[ -f "$kernel/lib/modules/$version/modules.dep" ] || depmod -b "$kernel" "$version"

mkdir -p "$work/bin" "$work/dev" "$work/proc" "$work/sys" "$work/host" "$work/modules"
cp "$(command -v busybox)" "$work/bin/busybox"
for module in virtio_pci 9pnet_virtio 9p dummy_hcd cdc_acm g_serial usb_f_acm; do
    modprobe -d "$kernel" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' > "$work/order"
while read -r path; do
    cp "$path" "$work/modules/"
    basename "$path" .ko
done < "$work/order" > "$work/modules/order"

cat > "$work/init" <<END
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
while read -r name; do
    [ "\$name" = g_serial ] && continue
    insmod /modules/\$name.ko
done < /modules/order
insmod /modules/g_serial.ko use_acm=1
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose host /host
for folder in dev proc sys; do mount -o bind /\$folder /host/\$folder; done
mount -t tmpfs none /host/run
chroot /host /usr/bin/env -i PATH=/usr/bin:/bin HOME=/run TMPDIR=/run PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH="$root" "$root/.venv/bin/python" "$root/tests/qemu/replug_guest.py" $tries
poweroff -f
END
chmod +x "$work/init"
(cd "$work" && find . | cpio -o -H newc 2>/dev/null | gzip) > "$work.initrd"
trap 'rm -rf "$work" "$work.initrd"' EXIT
qemu-system-x86_64 -accel tcg -cpu max -m 1024 -nographic -no-reboot \
    -kernel "$kernel/boot/vmlinuz-$version" -initrd "$work.initrd" \
    -append "console=ttyS0 quiet panic=-1 no_timer_check" -net none \
    -virtfs local,path=/,security_model=none,mount_tag=host,readonly=on,multidevs=remap
