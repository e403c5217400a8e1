#!/usr/bin/env bash
# Makes the drums model that ships, from MIDI files and recorded stems to its card:
#   tools/train_drums.sh MIDI STEMS VALIDATION WORK
# MIDI: the folders easyrpg_rtp, freedoom and mma_generated; STEMS: a folder a song; VALIDATION: songs that only judge;
# WORK: a folder with 8 GB free. Sounds (Debian): fluidr3mono-gm-soundfont musescore-general-soundfont-small
# avldrums.lv2-soundfont hydrogen-drumkits sonic-pi-samples fretsonfire-songs-sectoid fretsonfire-songs-muldjord.
# Stopped and started again, it goes on where it was. Two cores take ten minutes to render and prepare, and two hours to train.
set -euo pipefail
midi=$1 stems=$2 validation=$3 work=$4
samples=/usr/share/sonic-pi/samples
rock=/usr/share/games/fretsonfire/data/songs
here=$(cd "$(dirname "$0")" && pwd)
source "$here/sounds.sh"
mkdir -p "$work" && cd "$work"

# Songs from MIDI: other tempos, keys, instruments, rooms; drums mostly by recorded kits
drums=(--drum-soundfont $sounds/Black_Pearl_4_LV2.sf2 --drum-soundfont $muse "${recorded[@]}")
songsep synth "$midi"/easyrpg_rtp "$midi"/freedoom "$midi"/mma_generated/??[0368]_*.mid -o rendered --max-seconds 60 --varied --soundfont $fluid --soundfont $muse "${drums[@]}"

# Recordings that are half a song: drum loops without a band, guitars without drums. `armygeddon` and `Feelings` stay out: they validate
loops=()
for o in amen amen_full breakbeat compus industrial mehackit1 mehackit2 mika perc1 perc2 safari tabla weirdo; do loops+=($samples/loop_$o.flac); done
python "$here/loops.py" parts/drums "${loops[@]}"
mkdir -p parts/guitar
for o in 'sectoid/Escape from chaosland' 'sectoid/Metal madness' 'sectoid/War of freedom' muldjord/{chaos_god,internal_degeneration,mutilated_mime}; do
    song=$(basename "$o"); cp "$rock/$o/guitar.ogg" "parts/guitar/${song// /_}.ogg"
done

prepare() { store=$1; shift; songsep prepare "$@" -o $store --recipe drums --max-hz 11025 --keep-phase; }
real=("$stems"/{hydrogen,potassium,rubidium,sodium} parts)
prepare drums.h5 "${real[@]}"
prepare drums.h5 rendered --most 10
prepare mostly_real.h5 "${real[@]}"
prepare mostly_real.h5 rendered --most 4

# One of Spleeter's networks, without its lowest level, is where the training starts
songsep models pull spleeter-2stems
[ -e saved_models/start ] || python -c "from songsep.checkpoints import narrow_spleeter; narrow_spleeter('saved_models/spleeter-2stems', 'saved_models/start')"
learn() { songsep train "$@" -o models --remix --clipnorm 1 --patience 99 --judge "$validation"; }
learn drums.h5 --name wide --from saved_models/start --epochs 15 --drop-epoch 11 --steps 250 --ema 0.998 --bin-balance 0.25 --keep last
learn mostly_real.h5 --name drums --from models/wide --epochs 8 --schedule cosine --learning-rate 3e-4 --steps 200 --ema 0.99
songsep models shrink models/drums
songsep evaluate "$validation" --model models/drums -o scores.json
python "$here/card.py" models/drums scores.json
