// Sound files: see the pages "Audio" (`quantise`, `write_audio`) and "Songs" (how files of whole numbers sum to the song).
import { Zip, ZipPassThrough } from './vendor/fflate.js'
import { round } from './config.js'

export const BITS = { PCM_16: 16, PCM_24: 24, FLOAT: 32 }
const BLOCK = 1 << 18 // samples that are written at a time

// Round to the nearest step of a sample format; values outside clip
export function quantise(y, subtype) {
  if (subtype === 'FLOAT') return y
  const top = 2**(BITS[subtype] - 1), out = new Int32Array(y.length)
  for (let i = 0; i < y.length; i++) out[i] = Math.min(Math.max(round(y[i]*top), -top), top - 1)
  return out
}

// One gain for all stems: less than 1 where one of them would clip
export function gain_for(peak, subtype) { return subtype === 'FLOAT' || peak < 1 ? 1 : (1 - 2**-15)/peak }

// Channels of all stems to whole steps that sum to the song's: the last is what the others leave, where the format can hold it
export function finish(stems, song, gain, subtype) {
  const scaled = y => quantise(gain === 1 ? y : y.map(v => v*gain), subtype), outs = stems.map(o => o.map(scaled))
  if (subtype === 'FLOAT') return outs
  const top = 2**(BITS[subtype] - 1), last = outs.at(-1)
  song.map(scaled).forEach((whole, c) => {
    for (let i = 0; i < whole.length; i++) {
      let rest = whole[i]
      for (const o of outs.slice(0, -1)) rest -= o[c][i]
      if (rest >= -top && rest < top) last[c][i] = rest
    }
  })
  return outs
}

function header(sr, channels, n_samples, subtype) {
  const width = BITS[subtype]/8, float = subtype === 'FLOAT', size = n_samples*channels*width
  if (size > 2**32 - 64) throw new Error('a wav file holds 4 GB, and this one would be larger. Choose 16 bits.')
  const bytes = new DataView(new ArrayBuffer(44)), text = (at, s) => [...s].forEach((c, i) => bytes.setUint8(at + i, c.charCodeAt(0)))
  text(0, 'RIFF'); bytes.setUint32(4, 36 + size, true); text(8, 'WAVEfmt '); bytes.setUint32(16, 16, true)
  bytes.setUint16(20, float ? 3 : 1, true); bytes.setUint16(22, channels, true); bytes.setUint32(24, sr, true)
  bytes.setUint32(28, sr*channels*width, true); bytes.setUint16(32, channels*width, true); bytes.setUint16(34, 8*width, true)
  text(36, 'data'); bytes.setUint32(40, size, true)
  return new Uint8Array(bytes.buffer)
}

// Whole steps, or floats, of all channels to the bytes of a file
function packed(y, subtype) {
  const n = y[0].length, width = BITS[subtype]/8, bytes = new DataView(new ArrayBuffer(n*y.length*width))
  for (let i = 0, at = 0; i < n; i++) for (const samples of y) {
    if (subtype === 'FLOAT') bytes.setFloat32(at, samples[i], true)
    else if (subtype === 'PCM_16') bytes.setInt16(at, samples[i], true)
    else { bytes.setUint16(at, samples[i] & 0xffff, true); bytes.setInt8(at + 2, samples[i] >> 16) }
    at += width
  }
  return new Uint8Array(bytes.buffer)
}

const breath = () => new Promise(done => setTimeout(done)) // the page stays alive

// The parts of the wav file of stem `which`. `stems` and `song` are arrays of channels
export async function* wav_parts(stems, song, which, sr, subtype, gain = 1) {
  const n = song[0].length
  yield header(sr, song.length, n, subtype)
  for (let i = 0; i < n; i += BLOCK) {
    const part = o => o.map(samples => samples.subarray(i, i + BLOCK))
    yield packed(finish(stems.map(part), part(song), gain, subtype)[which], subtype)
    await breath()
  }
}

// A wav file of one stem
export async function wav_file(...args) {
  const parts = []
  for await (const o of wav_parts(...args)) parts.push(o)
  return new Blob(parts, { type: 'audio/wav' })
}

// A zip file of all stems; sound hardly becomes smaller, so it is stored as it is
export async function zip_file(names, stems, song, sr, subtype, gain = 1) {
  const parts = []
  let failed = null
  const zip = new Zip((error, part) => { failed ||= error; if (part) parts.push(part) })
  for (const [i, name] of names.entries()) {
    const entry = new ZipPassThrough(name)
    zip.add(entry)
    for await (const o of wav_parts(stems, song, i, sr, subtype, gain)) entry.push(o)
    entry.push(new Uint8Array(0), true)
  }
  zip.end()
  if (failed) throw failed
  return new Blob(parts, { type: 'application/zip' })
}
