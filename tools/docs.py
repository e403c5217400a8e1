"""Build the documentation into `_docs` on a machine without Quarto, and check every link in it: `python tools/docs.py`

With Quarto `nbdev_docs` does it, and is what is published. Here nbdev processes the notebooks as always, and smalldocs
renders them in Quarto's place. It wants help with three things: pages named without the notebook's number, links
that work from any folder, and mathematics and fonts that need no network.
"""
import html, re, shutil, sys, tempfile
from pathlib import Path
from urllib.parse import unquote
from latex2mathml.converter import convert
from nbdev.config import get_config
from nbdev.quarto import nbdev_sidebar, refresh_quarto_yml
from nbdev.serve import proc_nbs
from smalldocs.site import build

numbered = r'\d+[a-z]?_(?=\w+\.(?:ipynb|qmd|md)\b)' # `00_core.ipynb` becomes the page `core.html`

def unnumber(folder, home):
    "Rename pages and the links to them as nbdev's own links want it: relative, and without numbers"
    for p in [*folder.rglob('*.ipynb'), *folder.rglob('*.md'), *folder.rglob('*.qmd'), *folder.rglob('*.yml')]:
        text = re.sub(r'(?<=[/(\s"])' + numbered, '', p.read_text(encoding='utf-8'))
        if p.suffix != '.yml':
            text = re.sub(r'^\s*"output-file: [^"]*",?\n', '', text.replace(home, '../'*(len(p.relative_to(folder).parts)-1)), flags=re.M)
        p.write_text(text, encoding='utf-8')
        p.rename(p.with_name(re.sub('^' + numbered, '', p.name)))

def mathml(m): return f'<span class="math {m[1]}">' + convert(html.unescape(m[2]), display='block' if m[1]=='display' else 'inline') + '</span>'

def offline(folder):
    "Formulas as MathML, and nothing fetched from another host"
    for p in folder.rglob('*.html'):
        text = re.sub(r'<span class="math (inline|display)">\\[(\[](.*?)\\[)\]]</span>', mathml, p.read_text(encoding='utf-8'), flags=re.S)
        p.write_text(re.sub(r'<(?:link|script)[^>]*/npm/katex[^>]*>(?:</script>)?', '', text), encoding='utf-8')
    for p in folder.rglob('site_libs/**/*.css'):
        p.write_text(re.sub(r'@import url\(https?:[^)]*\);?', '', p.read_text(encoding='utf-8')), encoding='utf-8')

def site(cfg):
    "Build the documentation; the warnings of the build"
    refresh_quarto_yml()
    nbdev_sidebar()
    with tempfile.TemporaryDirectory() as tmp:
        src = Path(tmp)/'site'
        shutil.copytree(proc_nbs(force=True), src, ignore=shutil.ignore_patterns(cfg.doc_path.name))
        unnumber(src, cfg.doc_host + cfg.doc_baseurl.rstrip('/') + '/')
        warnings = build(src).warnings
        shutil.rmtree(cfg.doc_path, ignore_errors=True)
        shutil.move(src/cfg.doc_path.name, cfg.doc_path)
    offline(cfg.doc_path)
    return warnings

def broken(folder):
    "Every link inside the site that leads to no page or to no anchor"
    pages = {p.resolve(): p.read_text(encoding='utf-8') for p in folder.rglob('*.html')}
    for page, text in pages.items():
        for link in map(html.unescape, re.findall(r'(?:href|src)="([^"]+)"', text)):
            if re.match(r'[a-z]+:|//', link): continue
            name, _, anchor = link.partition('#')
            target = (page.parent/unquote(name)).resolve() if name else page
            if not target.exists() or anchor and target in pages and f'id="{unquote(anchor)}"' not in pages[target]: yield f'{page.name} -> {link}'

if __name__ == '__main__':
    cfg = get_config()
    faults = [*site(cfg), *broken(cfg.doc_path)]
    print(*faults, sep='\n')
    print(f'{cfg.doc_path}: {len(list(cfg.doc_path.rglob("*.html")))} pages, {len(faults)} faults')
    sys.exit(bool(faults))
