# Where the sounds are that the models learn from, sourced by the scripts that train them, which lie in $here: Debian's, and those of the folder $data
fluid=/usr/share/fluidr3mono-gm-soundfont/FluidR3Mono_GM.sf3
muse=/usr/share/sounds/sf3/MuseScore_General_Lite.sf3
sounds=/usr/share/sounds/sf2
hydrogen=/usr/share/hydrogen/data/drumkits
samples=/usr/share/sonic-pi/samples
rock=/usr/share/games/fretsonfire/data/songs

# Drums, each hit of them recorded. `gogodze_retro`, Red Zeppelin and Millo_MultiLayered3 stay out: they test
debian=() names=$(python "$here/kits.py" recorded)
while read -r kit; do debian+=(--drum-soundfont "$hydrogen/$kit"); done <<< "$names"
recorded=(--drum-soundfont $sounds/Black_Pearl_4_LV2.sf2 "${debian[@]}")
for kit in franken_plate franken_steel gogodze_dry muldjord_{close,franken,freepats,room} osdk_{dry,plate}; do
    recorded+=(--drum-soundfont "$data/kits/$kit")
done

# Machines: Hydrogen's, and the electronic kits of the soundfonts
electronic=() names=$(python "$here/kits.py" electronic)
while read -r kit; do electronic+=(--drum-soundfont "$hydrogen/$kit"); done <<< "$names"
for font in $fluid $muse $sounds/sf_GMbank.sf2; do electronic+=(--drum-soundfont "$font"); done

# Instruments: General MIDI, and recordings of a few; plates for --varied
instruments=() plates=()
for font in $fluid $muse $sounds/sf_GMbank.sf2 "$data"/instruments/*.sf3; do instruments+=(--soundfont "$font"); done
for file in "$data"/irs/*.flac; do plates+=(--plate "$file"); done

there() { # files that a script needs later on
    local file
    for file in "$@"; do
        [[ $file == --* || -e $file ]] || { echo "$file is missing. The first lines of $0 say where it comes from." >&2; exit 2; }
    done
}

# What people played (Groove) of one split and kind, `beat` or `fill`, that lasts so many seconds
performances() {
    python - "$data/drum_midi" "$@" <<'end'
import json, sys
from pathlib import Path
folder, split, kind, seconds = Path(sys.argv[1]), *sys.argv[2:]
for o in json.loads((folder/'index.json').read_text()):
    if (o['split'], o['kind']) == (split, kind) and o['seconds'] >= float(seconds): print(folder/o['file'])
end
}
every() { awk -v n="$1" 'NR%n == 1%n'; } # N-th line, from the first
spread() { # so many lines at most, at even distances
    awk -v most="$1" '{line[NR] = $0} END {n = NR < most ? NR : most; for (i = 0; i < n; i++) print line[int(i*NR/n) + 1]}'
}
