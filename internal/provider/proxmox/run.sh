# Runs a script that was delivered in parts, once. Its output and its exit
# code are left in files, the exit code last.
dir=$1 name=$2 sum=$3 parts=$4
umask 077
cd "$dir" || exit 120
mkdir "$name.once" 2>/dev/null || exit 0
date > "$name.begun"
end() {
    tail -c 65536 "$name.out" > "$name.tail"
    printf '%s\n' "$1" > "$name.exit.new"
    mv "$name.exit.new" "$name.exit"
    exit 0
}
: > "$name.script"
i=0
while [ "$i" -lt "$parts" ]; do
    if ! cat "$name.$sum.$i" >> "$name.script" 2>> "$name.out"; then
        end 121
    fi
    i=$((i + 1))
done
rm -f "$name.$sum."*
chmod 700 "$name.script"
"./$name.script" >> "$name.out" 2>&1 < /dev/null
end "$?"
