# Where Debian puts the sounds that both models learn from; sourced by the scripts that train them
fluid=/usr/share/fluidr3mono-gm-soundfont/FluidR3Mono_GM.sf3
muse=/usr/share/sounds/sf3/MuseScore_General_Lite.sf3
sounds=/usr/share/sounds/sf2
kits=/usr/share/hydrogen/data/drumkits
recorded=() # drums, each hit of them
for kit in BJA_Pacific ColomboAcousticDrumkit ForzeeStereo Millo-Drums_v.1 Millo_MultiLayered2 'The Black Pearl 1.0' rumpf_kit_z01_h2; do recorded+=(--drum-soundfont "$kits/$kit"); done
