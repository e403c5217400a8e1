"""Soundfonts made small: every sample is coded as Ogg Vorbis, which FluidSynth reads as SoundFont 3."""
import io, struct
from pathlib import Path
import numpy as np, soundfile as sf

SAMPLE = struct.Struct('<20s5IBbHH') # name; start, end, its loop's start and end, rate; key, cents; partner, kind
OGG, ROM = 0x10, 0x8000 # kinds

def chunks(b, at, end):
    "(name, first byte, length) of each chunk; some writers leave out the byte that makes lengths even"
    while at + 8 <= end:
        name, n = b[at:at+4], struct.unpack('<I', b[at+4:at+8])[0]
        yield name, at+8, n
        at += 8 + n
        if n%2 and b[at:at+1] == b'\0': at += 1

def chunk(name, body): return name + struct.pack('<I', len(body)) + body + b'\0'*(len(body)%2)

def coded(data, start, end, rate, kind, worse):
    "A sample's bytes as Ogg Vorbis, those that were there if they are fewer"
    from gpu import write_ogg
    was, f = data[start:end], io.BytesIO()
    if kind & OGG: y = sf.read(io.BytesIO(was), dtype='float32', always_2d=True)[0][:, 0]
    else: y = np.frombuffer(data[2*start:2*end], '<i2').astype('float32')/32768
    write_ogg(f, y, rate, worse)
    return was if kind & OGG and f.tell() > len(was) else f.getvalue()

def code_samples(headers, data, worse):
    "Headers and bytes of all samples, coded; what two headers share is coded once"
    out, rows, places = bytearray(), [], {}
    for name, start, end, a, b, rate, *key, partner, kind in SAMPLE.iter_unpack(headers):
        if kind & ROM or end <= start: rows.append((name, start, end, a, b, rate, *key, partner, kind)); continue
        if (start, end) not in places:
            new = coded(data, start, end, rate, kind, worse)
            places[start, end] = len(out), len(out) + len(new)
            out += new
        loop = (a, b) if kind & OGG else (max(a - start, 0), max(b - start, 0)) # counted from the sample's beginning
        rows.append((name, *places[start, end], *loop, rate, *key, partner, kind | OGG))
    return b''.join(SAMPLE.pack(*o) for o in rows), bytes(out)

def pack_font(path, to, worse=1.):
    "A soundfont (sf2 or sf3) as sf3; `worse` is 0 to 1"
    b = Path(path).read_bytes()
    lists = {b[at:at+4]: b[at:at+n] for name,at,n in chunks(b, 12, len(b)) if name == b'LIST'}
    inside = {k: {name: v[at:at+n] for name,at,n in chunks(v, 4, len(v))} for k,v in lists.items()}
    inside[b'INFO'][b'ifil'] = struct.pack('<2H', 3, 0)
    pdta, sdta = inside[b'pdta'], inside[b'sdta']
    pdta[b'shdr'], data = code_samples(pdta[b'shdr'], sdta[b'smpl'], worse)
    inside[b'sdta'] = {b'smpl': data}
    body = b'sfbk' + b''.join(chunk(b'LIST', k + b''.join(chunk(*o) for o in inside[k].items())) for k in (b'INFO', b'sdta', b'pdta'))
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_bytes(chunk(b'RIFF', body))
