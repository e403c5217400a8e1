"""Write the card of a model that ships: python tools/card.py MODEL_FOLDER SCORES.json...

`cards/<name>.md` is its text; each of its lines `TABLE` becomes the table of the next scores, of medians alone where songs are many.
"""
import sys
from pathlib import Path
from songsep.core import read_json
from songsep.evaluation import scores_table
from songsep.folder import write_card

folder, *scores = map(Path, sys.argv[1:])
text = (Path(__file__).parent/'cards'/f'{folder.name}.md').read_text(encoding='utf-8')
for o in map(read_json, scores): text = text.replace('\nTABLE\n', f"\n{scores_table(o, songs=len(o['mixture']) < 8)}\n", 1)
write_card(folder, text)
