#!/usr/bin/env bash
# Trains drums, bass, guitar, piano and other, from what tools/train_drums.sh left behind, and scores them on songs, sounds and kits of their own:
#   tools/train_band.sh MIDI STEMS VALIDATION WORK
# MIDI: the folders easyrpg_rtp, freedoom and mma_generated, and openmsx, planetblupi and simutrans, which test and never train; STEMS and WORK as for the drums model,
# WORK with 12 GB free; VALIDATION: real songs with drums and bass. Sounds for the test (Debian): timgm6mb-soundfont hydrogen-drumkits avldrums.lv2-soundfont.
# More sounds to learn from (Debian): csound-soundfont opl3-soundfont. Stopped and started again, it goes on where it was.
# Two cores and two hours bring a decibel or three for the soft stems, which is not enough to be given away; more steps, more sounds or a graphics card are needed.
set -euo pipefail
midi=$1 stems=$2 validation=$3 work=$4
cd "$work"

# A folder a stem: what is recorded alone
mkdir -p band_parts/{drums,vocals,bass}
for song in hydrogen potassium rubidium sodium; do
    for stem in drums vocals bass; do [ ! -e "$stems/$song/$stem.ogg" ] || cp "$stems/$song/$stem.ogg" band_parts/$stem/$song.ogg; done
done
cp parts/drums/* band_parts/drums
cp -r parts/guitar band_parts

# Songs by other instruments, of other kinds: two soundfonts make a network that knows two soundfonts
sounds=/usr/share/sounds/sf2
kits=/usr/share/hydrogen/data/drumkits
if [ ! -e more ]; then
    drums=(--drum-soundfont $sounds/Black_Pearl_4_LV2.sf2 --drum-soundfont $sounds/sf_GMbank.sf2)
    for kit in BJA_Pacific ColomboAcousticDrumkit ForzeeStereo Millo-Drums_v.1 Millo_MultiLayered2 'The Black Pearl 1.0' rumpf_kit_z01_h2; do drums+=(--drum-soundfont "$kits/$kit"); done
    songsep synth "$midi"/easyrpg_rtp "$midi"/freedoom "$midi"/mma_generated/??[145]_*.mid -o more.part --max-seconds 60 --varied --seed 1 "${drums[@]}" \
        --soundfont $sounds/sf_GMbank.sf2 --soundfont $sounds/sf_GMbank.sf2 --soundfont $sounds/OPL-3_FM_128M.sf2
    for song in more.part/Track*; do mv "$song" "more.part/Tune${song#more.part/Track}"; done # the other songs are called Track too
    mv more.part more
fi

prepare() { songsep prepare "$@" -o band.h5 --recipe band --max-hz 11025 --keep-phase; }
prepare band_parts --most 16
prepare rendered --most 6
prepare more --most 7

# Five stems, most of them soft: masks that sum to one, and a loss that does not leave the soft ones empty
python - <<'end'
from songsep.training import train
train('band.h5', 'models/band', 'tfc_tdf_unet', dict(output='shares'), epochs=40, learning_rate=2e-3, schedule='cosine', n_batches=200, remixed=True,
      loss='compressed', alphas=[.2]*5, ema=.99, clipnorm=1., keep='last', patience=99)
end

# Other songs, another soundfont, other kits
songsep synth "$midi"/{openmsx,planetblupi,simutrans} -o heldout --max-seconds 30 --soundfont /usr/share/sounds/sf2/TimGM6mb.sf2 \
    --drum-soundfont $kits/Millo_MultiLayered3 --drum-soundfont /usr/share/sounds/sf2/Red_Zeppelin_4_LV2.sf2
songsep evaluate heldout --model models/band -o band_scores.json --report band_scores.html
songsep evaluate "$validation" --model models/band --partial -o band_real.json
