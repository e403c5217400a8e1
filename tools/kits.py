"""Drum kits that Debian has for Hydrogen and that the models learn from. `python kits.py recorded` prints those."""
import sys

RECORDED = ('BJA_Pacific', 'ColomboAcousticDrumkit', 'ForzeeStereo', 'Millo-Drums_v.1', 'Millo_MultiLayered2',
            'The Black Pearl 1.0', 'rumpf_kit_z01_h2') # Red Zeppelin and Millo_MultiLayered3 stay out: they test
ELECTRONIC = ('Audiophob', 'ElectricEmpireKit', 'HardElectro1', 'VariBreaks')

if __name__ == '__main__': print(*{'recorded': RECORDED, 'electronic': ELECTRONIC}[sys.argv[1]], sep='\n')
