"How `show_doc` prints a function in the documentation: a plain signature, then a table of its parameters."
import inspect, re
from dataclasses import is_dataclass
from pathlib import PurePath
from textwrap import fill
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

class _Default:
    "A parameter's default as one writes it, for signatures and tables"
    def __init__(self, value): self.value = value
    def __repr__(self):
        name = getattr(self.value, '__name__', '')
        if name: return name if name.isidentifier() and name[0] != '_' else '...' # an inner function says nothing
        if is_dataclass(self.value): return f'{type(self.value).__name__}()'
        return repr(str(self.value) if isinstance(self.value, PurePath) else self.value)

WIDTH = 80 # characters of a signature's line: what a page has room for beside its two columns

def signature_text(
    name:str, # As it is called
    sig:inspect.Signature|None # Its parameters; `None` for what is not called, such as a property
) -> str: # `name(a, b=1)`, in lines of `WIDTH`
    "A call with all parameters; their types stand in the table."
    if sig is None: return name
    params = [p.replace(annotation=empty, default=p.default if p.default is empty else _Default(p.default))
              for p in sig.parameters.values() if p.name not in ('self', 'cls')]
    text = str(sig.replace(parameters=params, return_annotation=empty))
    return fill(name + text, WIDTH, subsequent_indent='    ', break_long_words=False, break_on_hyphens=False)

def _outside(text):
    "What is no code: a star is a star, as in `targets*channels`, and an option is code, so that its hyphens make no dash"
    return re.sub(r'--[a-z][a-z-]*', r'`\g<0>`', text.replace('*', r'\*'))

def as_markdown(
    text:str # A comment or a message; code stands in backticks
) -> str: # The same words on a page
    "Plain text as Markdown."
    parts = text.split('`')
    return '`'.join(o if i%2 else _outside(o) for i,o in enumerate(parts))

def _row(*cells): return '| ' + ' | '.join(as_markdown(o).replace('|', r'\|').replace('\n', '<br>') for o in cells) + ' |'

class TableRenderer(BasicMarkdownRenderer):
    "A plain signature, and types, defaults and comments in a table below it"
    def __init__(self, sym, name=None, title_level=3):
        super().__init__(sym, name, title_level)
        self.dm = signature_text(self.nm, None if isinstance(sym, property) else self.sig)
    def _repr_markdown_(self):
        params = self.sig.parameters if self.sig else {}
        defaults = {k: f'`{_Default(p.default)!r}`' for k,p in params.items() if p.default is not empty}
        rows = [(f'`{k}`', anno, defaults.get(k, ''), said) for k,(anno,said) in comments(self.sym).items() if said]
        head = ('', 'type', 'default', '')
        if not defaults: head, rows = ('', 'type', ''), [(k, anno, said) for k,anno,_,said in rows]
        table = [_row(*head), '|---'*len(head) + '|', *(_row(*o) for o in rows)]*bool(rows)
        return '\n'.join([super()._repr_markdown_(), '', *table])
