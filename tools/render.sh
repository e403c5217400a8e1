#!/usr/bin/env bash
# Renders what the models that ship learn from:
#   tools/render.sh DATA WORK
# DATA holds the folders midi, drum_midi, kits, instruments, irs, cc0_stems and drumless; WORK is a folder with 20 GB free.
# More sounds (Debian): fluidr3mono-gm-soundfont musescore-general-soundfont-small csound-soundfont avldrums.lv2-soundfont
# hydrogen-drumkits sonic-pi-samples lmms-common fretsonfire-songs-sectoid fretsonfire-songs-muldjord.
# Stopped and started again, it goes on where it was. Two cores take half an hour.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/arguments.sh" 2 "$@"
data=$(folder "$1")
source "$here/sounds.sh"
there "$data"/{midi,drum_midi,cc0_stems,drumless} "$samples" "$rock" "${recorded[@]}" "${electronic[@]}" "${instruments[@]}" "${plates[@]}"
mkdir -p "$2" && cd "$2"
[ -e computed ] || { python "$here/machines.py" computed.new 32 && mv computed.new computed; }
computed=()
for kit in computed/*; do computed+=(--drum-soundfont "$kit"); done
# One process each: it keeps the tones that it has played
synth() { songsep synth "$@" --jobs 1 --varied --format wav "${instruments[@]}" "${plates[@]}"; }

# Songs: two of three with recorded drums, one with a machine
songs=("$data"/midi/{easyrpg_rtp,freedoom} "$data"/midi/mma_generated/??[0268]_*.mid)
machines=("${electronic[@]}" "${electronic[@]:0:4}")
synth "${songs[@]}" -o rendered --max-seconds 50 "${recorded[@]}" "${machines[@]}" --seed 1 &

# Drums alone, as people played them (the training split): recorded kits, and half as many machines
mapfile -t files < <(performances train beat 8)
synth "${files[@]}" -o drummers --max-seconds 40 "${recorded[@]}" --seed 2
mapfile -t files < <(performances train beat 8 | every 2)
synth "${files[@]}" -o machines --max-seconds 20 "${electronic[@]}" --seed 3
mapfile -t files < <(performances train beat 8 | every 3)
synth "${files[@]}" -o more_machines --max-seconds 14 "${computed[@]}" --seed 4

# Recordings that are half a song: drum loops, guitars without drums, and music that has no drums.
# `armygeddon` and `Feelings` stay out: they validate; so do the trumpet, one piano and the guitar of drumless
loops=()
for o in amen amen_full breakbeat compus industrial mehackit1 mehackit2 mika perc1 perc2 safari tabla weirdo; do
    loops+=($samples/loop_$o.flac)
done
for o in 909beat01 break01 break02 break03 electro_beat01 electro_beat02 house_loop01 jungle01; do
    loops+=(/usr/share/lmms/samples/beats/$o.ogg)
done
[ -e parts ] || python "$here/loops.py" parts.new/drums "${loops[@]}"
if [ ! -e parts ]; then
    mkdir -p parts.new/{guitar,other}
    for o in 'sectoid/Escape from chaosland' 'sectoid/Metal madness' 'sectoid/War of freedom' muldjord/{chaos_god,internal_degeneration,mutilated_mime}; do
        song=$(basename "$o"); cp "$rock/$o/guitar.ogg" "parts.new/guitar/${song// /_}.ogg"
    done
    cp "$data"/drumless/{piano_chopin_op55_no1,string_orchestra_hungarian_dance_5}.ogg parts.new/other
    mv parts.new parts
fi
wait
