"Write the card of the drums model: python tools/drums_card.py MODEL_FOLDER SCORES.json"
import sys
from songsep.core import read_json
from songsep.evaluation import scores_table
from songsep.models import write_card

ABOUT = '''
## What it learned from

It began as Spleeter's network for the accompaniment (MIT, trained by Deezer on its own recordings), without its lowest level and for one channel.
`tools/train_drums.sh` went on from there in two stages:

- 224 renderings of MIDI files by `songsep synth --varied`, 60 s of each: Freedoom (BSD-3-Clause), the EasyRPG RTP (CC BY 4.0), and chord
  charts of our own played by MMA. Instruments: FluidR3Mono and MuseScore General Lite (both MIT). Drums: kits recorded for Hydrogen (BJA Pacific, CC BY-SA 3.0;
  rumpf, CC BY 3.0; Colombo Acoustic, ForzeeStereo, Millo, Black Pearl, GPL-2), the AVL Black Pearl (CC BY-SA 3.0), and MuseScore General Lite.
- Four recorded songs, whole: Hydrogen, Potassium, Rubidium and Sodium from "Everything is Free" by Software-Entwicklungskit (CC0 1.0).
- 13 drum loops of Sonic Pi (CC0 1.0) at three speeds, and the guitars alone of six rock songs of Frets on Fire (muldjord, CC BY-SA 3.0; sectoid, MIT).

Every tenth of these was kept for validation. Stems of different songs were paired at random, each with its own level, equalizer, polarity and room.

## What it is good and bad at

Three songs can't say much. Drums that are soft in the mix are its weak point: in `mdn_multitrack`, where they lie 10 dB below the rest, little of them is found.
Where drums drown the rest, what they leave of it is thin. It has heard few real recordings and few voices. It hears up to 11 kHz; above that, each stem gets the
share that it has just below. Stems always sum to the song.
'''
SCORES = '''
## What it scores

On real multitrack excerpts that were never trained on; the epoch that did best on them was kept, so they flatter it a little. `mixture` is the untouched
song as every stem, `hpss` librosa's harmonic-percussive separation with its defaults; the ideal masks and the filter know the true stems.

'''

if __name__ == '__main__':
    folder, scores = sys.argv[1:]
    write_card(folder, ABOUT, SCORES + scores_table(read_json(scores)))
