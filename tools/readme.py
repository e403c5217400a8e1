"README.md is made of nbs/index.ipynb: `python tools/readme.py`"
import re
import nbformat
from execnb.nbio import mk_cell, nb2str
from nbconvert import MarkdownExporter
from nbdev.config import get_config
from nbdev.process import NBProcessor
from nbdev.processors import FilterDefaults

def obey(cell):
    "Take the directives out of a code cell; `echo: false` hides its source"
    if re.search(r'^#\| *echo: *false', cell.source, re.M): cell.metadata['transient'] = dict(remove_source=True)
    cell.source = re.sub(r'^#\|.*\n?', '', cell.source, flags=re.M)

def unheard(cell): return not any(tag in str(o.get('data', '')) for o in cell.get('outputs', []) for tag in ('<audio', '<iframe'))

def absolute(text, home):
    "Links to notebooks as links to their pages: a README is also read where the notebooks are not"
    return re.sub(r'\]\(((?:\w+/)*)(?:\d+[a-z]?_)?([\w.]+)\.ipynb', rf']({home}/\1\2.html', text)

def render(path):
    "Markdown of the notebook at `path` as the documentation shows it, and its pictures by file name"
    nb = NBProcessor(path, procs=FilterDefaults().procs(), process=True).nb
    nb.cells[0] = mk_cell('# {title}\n\n> {description}'.format(**nb.frontmatter_), 'markdown')
    nb.metadata['language_info'] = dict(name='python')
    nb.cells = [o for o in nb.cells if unheard(o)] # neither GitHub nor PyPI shows players or frames
    for cell in nb.cells:
        if cell.cell_type == 'code': obey(cell)
    names = dict(unique_key=path.stem, output_files_dir=f'{path.stem}_files')
    text, resources = MarkdownExporter().from_notebook_node(nbformat.reads(nb2str(nb), 4), names)
    return re.sub(r'\n\s*\n', '\n\n', text).strip() + '\n', resources['outputs']

if __name__ == '__main__':
    cfg = get_config()
    text, pictures = render(cfg.nbs_path/cfg.readme_nb)
    (cfg.config_path/'README.md').write_text(absolute(text, cfg.doc_host + cfg.doc_baseurl.rstrip('/')), encoding='utf-8')
    for name, data in pictures.items():
        (cfg.config_path/name).parent.mkdir(exist_ok=True)
        (cfg.config_path/name).write_bytes(data)
