"Preprocess, train and separate in one call: python main.py ROOT 1e-3 0.5 1e-6 adam 40 8"
from songsep.cli import old_main

if __name__ == '__main__': old_main()
