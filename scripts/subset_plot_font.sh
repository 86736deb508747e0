#!/bin/sh
# Makes assets/fonts/plot-sans.ttf, the font of the training curves: DejaVu Sans 2.37 cut down to
# Latin, Greek, Cyrillic and a few signs, without hinting or layout tables, which drawing a plot
# does not use. Needs fonttools (`pip install fonttools==4.68.0`) and the upstream DejaVuSans.ttf.
# Usage: scripts/subset_plot_font.sh /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
ranges=U+0020-007E,U+00A0-017F,U+0391-03C9,U+0410-044F,U+0401,U+0451
signs=U+2010-2015,U+2018-201E,U+2022,U+2026,U+2032,U+2190-2193,U+2212,U+221E,U+2248,U+2260,U+2264,U+2265
pyftsubset "${1:?path of DejaVuSans.ttf}" \
    --unicodes="$ranges,$signs" \
    --layout-features= --no-hinting --desubroutinize --notdef-outline \
    --drop-tables+=FFTM,GDEF,GPOS,GSUB,kern,fpgm,prep,cvt,gasp \
    --name-IDs=0,1,2,3,4,5,6,13,14 --no-recalc-timestamp \
    --output-file="$root/assets/fonts/plot-sans.ttf"
