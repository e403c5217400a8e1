#!/usr/bin/env bash
# Makes the drums model that ships, from MIDI files and recorded stems to its card:
#   tools/train_drums.sh MIDI STEMS VALIDATION WORK
# MIDI: the folders easyrpg_rtp, freedoom and mma_generated; STEMS: a folder a song; VALIDATION: songs that only judge;
# WORK: a folder with 4 GB free. Soundfonts (Debian): fluidr3mono-gm-soundfont musescore-general-soundfont-small
# avldrums.lv2-soundfont. Stopped and started again, it goes on where it was. Two cores take about half an hour to render
# and an hour to train.
set -euo pipefail
midi=$1 stems=$2 validation=$3 work=$4
fluid=/usr/share/fluidr3mono-gm-soundfont/FluidR3Mono_GM.sf3
muse=/usr/share/sounds/sf3/MuseScore_General_Lite.sf3
kits=/usr/share/sounds/sf2
here=$(cd "$(dirname "$0")" && pwd)

songsep synth "$midi"/easyrpg_rtp "$midi"/freedoom "$midi"/mma_generated/0{0,1[0-7]}*.mid -o "$work/rendered" --max-seconds 45 \
    --soundfont $fluid --soundfont $muse \
    --drum-soundfont $fluid --drum-soundfont $muse --drum-soundfont $kits/Black_Pearl_4_LV2.sf2 --drum-soundfont $kits/Red_Zeppelin_4_LV2.sf2

prepare() { songsep prepare "$@" -o "$work/drums.h5" --recipe drums --max-hz 11025 --keep-phase; }
prepare "$stems"/{hydrogen,potassium,rubidium,sodium}
prepare "$work/rendered" --most 8

songsep train "$work/drums.h5" --name drums -o "$work/models" --remix --steps 150 --epochs 17 --drop-epoch 13 --patience 17 --keep last
songsep evaluate "$validation" --model "$work/models/drums" -o "$work/scores.json"
python "$here/drums_card.py" "$work/models/drums" "$work/scores.json"
