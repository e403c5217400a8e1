"Write the card of a model that ships, `cards/<name>.md` and a table of scores: python tools/card.py MODEL_FOLDER SCORES.json"
import sys
from pathlib import Path
from songsep.core import read_json
from songsep.evaluation import scores_table
from songsep.models import write_card

folder, scores = map(Path, sys.argv[1:])
write_card(folder, (Path(__file__).parent/'cards'/f'{folder.name}.md').read_text(encoding='utf-8'), scores_table(read_json(scores)))
