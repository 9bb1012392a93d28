#!/bin/sh
# Whether two builds of the program give the same bytes: masks and probabilities of the demo images by each built-in model,
# every layout of image file, training losses, and the selftest's error of each fixture.
#
#     sh scripts/same_bytes.sh OLD NEW [OPTIONS OF unet, such as --device cpu]
#
# OLD and NEW are programs. Prints what differs; the status is 1 if anything does.
set -eu
cd "$(dirname "$0")/.."
old=$1 new=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
differ=0 same=0

# A result of either program, `-` where it refused.
both() { # NAME COMMAND..: `@` is the program, `%` the output folder
    name=$1
    shift
    for which in old new; do
        eval "program=\$$which"
        mkdir -p "$work/$which/$name"
        (
            for argument; do
                shift
                case $argument in
                    @) argument=$program ;;
                    %*) argument=$work/$which/$name${argument#%} ;;
                esac
                set -- "$@" "$argument"
            done
            "$@" > "$work/$which/$name.stdout" 2> "$work/$which/$name.stderr" || echo "refused" > "$work/$which/$name/-"
        )
    done
}

# Each layout that only one of them reads.
only=0
for model in nuclei nuclei-unet++ nuclei-unet3+; do
    both "$model" @ segment assets/images -m "$model" -o % --save mask,prob-npy -q --no-tune "$@"
done
both tiles @ segment assets/images -o % --save mask,prob-npy --tile 256 -q --no-tune "$@"
for file in assets/fixtures/images/*.tif assets/fixtures/images/*.jp2 assets/fixtures/images/*.pgm assets/fixtures/images/*.gif; do
    both "layouts/$(basename "$file")" @ segment "$file" --channels 0 -o % --save prob-npy -q --no-tune "$@"
done
both selftest @ selftest --fixtures assets/fixtures -q --no-tune "$@"

for folder in "$work"/old/layouts/*/; do
    name=layouts/$(basename "$folder")
    for which in old new; do
        if [ "$which" = old ]; then other=new; else other=old; fi
        if [ -e "$work/$which/$name/-" ] && [ ! -e "$work/$other/$name/-" ]; then
            rm -r "$work/old/$name" "$work/new/$name"
            only=$((only + 1))
            printf 'read by %s only: %s\n' "$(eval "echo \$$other")" "$name"
            break
        fi
    done
done

for which in old new; do
    (cd "$work/$which" && find . -type f ! -name '*.stderr' ! -name '*.stdout' -exec cksum {} + | awk '{print $3, $1, $2}' | sort) > "$work/$which.sums"
done
same=$(comm -12 "$work/old.sums" "$work/new.sums" | wc -l)
comm -3 "$work/old.sums" "$work/new.sums" | awk '{print $1}' | sort -u > "$work/differ"
differ=$(wc -l < "$work/differ")
sed 's/^/differs: /' "$work/differ"
printf 'selftest: %s\n' "$(tail -n 1 "$work/old/selftest.stdout")" "$(tail -n 1 "$work/new/selftest.stdout")"
printf '%s files are the same, %s differ, %s layouts are read by one only\n' "$same" "$differ" "$only"
[ "$differ" -eq 0 ]
