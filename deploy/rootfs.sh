#!/bin/sh
# Collects what the image holds: deploy/rootfs.sh BINARY FOLDER makes FOLDER/rootfs, the root of its file system, and
# FOLDER/data, the empty data folder. Certificates of public authorities are in the binary.
set -eu

binary=$1
folder=$2
root=$folder/rootfs

mkdir -p "$root/usr/local/bin" "$root/usr/share" "$root/etc" "$folder/data"
cp "$binary" "$root/usr/local/bin/headgate"
chmod 755 "$root/usr/local/bin/headgate"

# A line is `name => /path (address)`, or `/path (address)` for the loader; the kernel's own has no path.
libraries=$(ldd "$binary" | grep -o '/[^ ]*')
for library in $libraries; do
  mkdir -p "$root${library%/*}"
  cp -L "$library" "$root$library"
done

# Calendar months begin where `budget.time_zone` says.
if ! [ -e /usr/share/zoneinfo/UTC ]; then
  echo "rootfs: no time zones in /usr/share/zoneinfo: install tzdata" >&2
  exit 1
fi
cp -RL /usr/share/zoneinfo "$root/usr/share/zoneinfo"
# Twice the same, and with leap seconds.
rm -rf "$root/usr/share/zoneinfo/posix" "$root/usr/share/zoneinfo/right"

# Without it names are looked for in DNS before /etc/hosts.
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
