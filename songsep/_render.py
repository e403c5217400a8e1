"How `show_doc` prints a function in the documentation: a plain signature, then a table of its parameters."
import inspect, re
from fastcore.docments import docments, empty
from nbdev.showdoc import BasicMarkdownRenderer

def _type(anno):
    "Short text of an annotation: `list[Path]` for `Annotated[list[pathlib.Path], ...]`"
    if hasattr(anno, '__metadata__'): anno = anno.__origin__
    return '' if anno is empty else re.sub(r'\b\w+\.', '', inspect.formatannotation(anno).strip("'"))

def _help(anno): return next((o.help for o in getattr(anno, '__metadata__', ()) if getattr(o, 'help', None)), None)

def comments(sym):
    "Type and comment of every parameter of `sym`; on the command line the help text is the comment"
    docs = docments(sym, full=True, args_kwargs=True)
    return {k: (_type(v.anno), v.docment or _help(v.anno)) for k,v in docs.items() if k not in ('self', 'cls')}

def _row(*cells): return '| ' + ' | '.join(o.replace('|', r'\|').replace('\n', '<br>') for o in cells) + ' |'

class TableRenderer(BasicMarkdownRenderer):
    "The signature without its comments, and the comments in a table below it"
    def _repr_markdown_(self):
        rows = [_row(f'`{k}`', anno, said) for k,(anno,said) in comments(self.sym).items() if said]
        for d in self.dm.dm.values(): d.update(anno=_type(d['anno']) or empty, docment=None)
        return '\n'.join([super()._repr_markdown_(), ''] + ['| | type | |', '|---|---|---|']*bool(rows) + rows)
