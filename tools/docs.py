"""Build the documentation into `_docs`, and check every link in it: `python tools/docs.py`

With Quarto `nbdev_docs` does the building, and is what is published; `python tools/docs.py check` then looks over what it
built. Without Quarto nbdev processes the notebooks as always, and smalldocs renders them in Quarto's place. It wants help
with three things: pages named without the notebook's number, links that work from any folder, and mathematics.

The page that separates in the browser (`nbs/26_browser.ipynb`) goes to `_docs/separate`; npm fetches what it needs of others. Where
npm is missing or finds no network, a sentence stands in its place.

Either way, what a page would fetch from another host is taken out of it.
"""
import html, re, shutil, sys, tempfile
from pathlib import Path
from urllib.parse import unquote
from nbdev.config import get_config

numbered = r'\d+[a-z]?_(?=[\w.]+\.(?:ipynb|qmd|md)\b)' # `00_core.ipynb` becomes the page `core.html`, `03a_synth.midi.ipynb` `synth.midi.html`
foreign = r'\s(?:src|href)="(?:https?:)?//[^"]*"'

def unnumber(folder, home):
    "Rename pages and the links to them as nbdev's own links want it: relative, and without numbers"
    for p in [*folder.rglob('*.ipynb'), *folder.rglob('*.md'), *folder.rglob('*.qmd'), *folder.rglob('*.yml')]:
        text = re.sub(r'(?<=[/(\s"])' + numbered, '', p.read_text(encoding='utf-8'))
        if p.suffix != '.yml':
            text = re.sub(r'^\s*"output-file: [^"]*",?\n', '', text.replace(home, '../'*(len(p.relative_to(folder).parts)-1)), flags=re.M)
        p.write_text(text, encoding='utf-8')
        p.rename(p.with_name(re.sub('^' + numbered, '', p.name)))

def build(cfg):
    "Build the documentation; the warnings of the build"
    from nbdev.quarto import refresh_quarto_yml
    from nbdev.serve import proc_nbs
    from smalldocs.site import build
    refresh_quarto_yml()
    with tempfile.TemporaryDirectory() as tmp:
        src = Path(tmp)/'site'
        shutil.copytree(proc_nbs(force=True, n_workers=0), src, ignore=shutil.ignore_patterns(cfg.doc_path.name))
        unnumber(src, cfg.doc_host + cfg.doc_baseurl.rstrip('/') + '/')
        warnings = [o for o in build(src).warnings if not o.endswith(' is ignored')] # options that Quarto alone needs
        shutil.rmtree(cfg.doc_path, ignore_errors=True)
        shutil.move(src/cfg.doc_path.name, cfg.doc_path)
    return warnings

def mathml(m):
    "A formula as browsers draw it themselves"
    from latex2mathml.converter import convert
    return f'<span class="math {m[1]}">' + convert(html.unescape(m[2]), display='block' if m[1]=='display' else 'inline') + '</span>'

changes = [
    (r'<span class="math (inline|display)">\\[(\[](.*?)\\[)\]]</span>', mathml),
    (rf'<script[^>]*{foreign}[^>]*></script>|<link(?=[^>]*rel="(?:stylesheet|pre\w+)")[^>]*{foreign}[^>]*>', ''),
    (rf'<img(?=[^>]*{foreign})[^>]*\salt="([^"]*)"[^>]*>', r'<span class="badge text-bg-secondary">\1</span>'),
    # for those who listen to the page, or go through it by keys
    (r'<img(?![^>]*\salt=)', '<img alt="drawn by the code above"'),
    (r'<i class="(bi [^"]*)" role="img"(?![^>]*aria-label)', r'<i class="\1" aria-hidden="true"'),
    (r'<(pre|div class="sd-table")(?![^>]*tabindex)', r'<\1 tabindex="0"')]

everyday = {'estimate', 'leak', 'reference', 'window'} # words that mostly mean something else, or need no link

def terms(glossary):
    "Each word of the glossary page, and the anchor where it is explained"
    for anchor, heading in re.findall(r'<h3[^>]*\b(?:data-anchor-)?id="([^"]+)"[^>]*>(.*?)</h3>', glossary, re.S):
        words = html.unescape(re.sub(r'<code>.*?</code>|<[^>]+>', '', heading)).split(',')
        yield from ((o.strip().lower(), anchor) for o in words if len(o.strip()) > 2 and o.strip() not in everyday)

linked = re.compile(r'<(a|code|pre|h\d|figure|script|style|table|svg)\b.*?</\1>|<[^>]+>', re.S) # where no link is put

def link_terms(text, words, address):
    "Link each word of the glossary to it where a paragraph or a list first has it"
    body = re.search(r'<main\b.*?</main>', text, re.S)
    if not body: return text
    waiting = dict(words)
    def paragraph(m):
        res, at = [], 0
        for tag in [*linked.finditer(m[0]), None]:
            end = tag.start() if tag else len(m[0])
            res += [plain(m[0][at:end]), tag[0] if tag else '']
            at = tag.end() if tag else end
        return ''.join(res)
    def plain(part):
        if not waiting or not part.strip(): return part
        some = '|'.join(re.escape(o) for o in sorted(waiting, key=len, reverse=True))
        return re.sub(rf'\b({some})(?=s?\b)', link, part, flags=re.I)
    def link(m):
        anchor = waiting.get(m[0].lower())
        if anchor is None: return m[0] # it was linked a moment ago
        for k in [k for k,v in waiting.items() if v == anchor]: del waiting[k]
        return f'<a class="term" href="{address}#{anchor}">{m[0]}</a>'
    main = re.sub(r'<(p|li)\b[^>]*>.*?</\1>', paragraph, body[0], flags=re.S)
    return text[:body.start()] + main + text[body.end():]

def finish(folder):
    """Change the pages so that nothing is fetched from another host: scripts, fonts and styles go, pictures become their
    text. And link the words of the glossary."""
    glossary = folder/'guide'/'glossary.html'
    words = dict(terms(glossary.read_text(encoding='utf-8'))) if glossary.exists() else {}
    for p in folder.rglob('*.html'):
        text = p.read_text(encoding='utf-8')
        for pattern, new in changes: text = re.sub(pattern, new, text, flags=re.S)
        address = '../'*(len(p.relative_to(folder).parts) - 1) + 'guide/glossary.html'
        if words and p != glossary and 'class="term"' not in text: text = link_terms(text, words, address)
        p.write_text(text, encoding='utf-8')
    for p in folder.rglob('*.css'):
        p.write_text(re.sub(r'@import\s*(?:url\([^)]*//[^)]*\)|"[^"]*//[^"]*")[^;}]*;?', '', p.read_text(encoding='utf-8')), encoding='utf-8')

def broken(folder):
    "Every link inside the site that leads to no page or to no anchor, and what is still fetched from another host"
    pages = {p.resolve(): p.read_text(encoding='utf-8') for p in folder.rglob('*.html')}
    for page, text in pages.items():
        for kind, link in re.findall(r'(href|src)="([^"]+)"', text):
            link = html.unescape(link)
            if re.match(r'[a-z]+:|//', link):
                if kind == 'src' and not link.startswith('data:'): yield f'{page.name} fetches {link}'
                continue
            name, _, anchor = re.sub(r'\?[^#]*', '', link).partition('#')
            target = (page.parent/unquote(name)).resolve() if name else page
            if not target.exists() or anchor and target in pages and f'id="{unquote(anchor)}"' not in pages[target]: yield f'{page.name} -> {link}'

def unlisted(cfg):
    "Every notebook that `sidebar.yml` forgets"
    from nbdev.doclinks import nbglob
    listed = (cfg.nbs_path/'sidebar.yml').read_text(encoding='utf-8')
    found = {p.relative_to(cfg.nbs_path).as_posix() for p in nbglob(as_path=True)}
    return [f'nbs/sidebar.yml has no line for {o}' for o in sorted(found) if not re.search(rf'(?:- |href: ){re.escape(o)}$', listed, re.M)]

def separate_page(folder):
    "Write the page that separates in the browser; what kept it from being whole"
    from songsep.browser import SIGNED, write_page
    from songsep.core import SongsepError
    try: write_page(folder)
    except SongsepError as e:
        folder.mkdir(exist_ok=True)
        (folder/'index.html').write_text(f'<!doctype html><html lang="en"><head>{SIGNED}<title>Not here</title></head><body><p>This copy of '
            'the documentation was built without npm, so it can\'t separate songs.</p></body></html>', encoding='utf-8')
        return [str(e)]
    return []

if __name__ == '__main__':
    cfg = get_config()
    faults = [] if sys.argv[1:] == ['check'] else build(cfg)
    finish(cfg.doc_path)
    missing = separate_page(cfg.doc_path/'separate')
    for o in missing: print('without the page that separates:', o)
    faults = [*faults, *unlisted(cfg), *broken(cfg.doc_path)]
    print(*faults, sep='\n')
    print(f'{cfg.doc_path}: {len(list(cfg.doc_path.rglob("*.html")))} pages, {len(faults)} faults')
    sys.exit(bool(faults))
