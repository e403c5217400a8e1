// A song's file to its samples, as the browser decodes it, at the rate of the model.

const minutes = seconds => seconds < 120 ? `${Math.floor(seconds)} seconds` : `${Math.floor(seconds/60)} minutes`

// The longest song, in seconds, for the memory at hand: song and stems stay in it as floats, beside program and network. A browser
// that does not say how much memory there is (in gigabytes) counts as one with 4, and more than 8 count as 8; a page may take a quarter of it
export function longest(n_stems, sr, channels = 2, memory = Math.min(8, globalThis.navigator?.deviceMemory ?? 4)) {
  return Math.max(0, Math.floor((memory*1e9/4 - 3e8)/(4*sr*channels*(n_stems + 1))))
}

export const limit_sentence = seconds => `A song may be up to ${minutes(seconds)} long here: it and its stems stay in memory.`

// The length that a player reads from the file's first bytes, in seconds; `null` where it can't tell
export function probe(file) {
  const player = new Audio(), address = URL.createObjectURL(file)
  return new Promise(done => {
    player.onloadedmetadata = () => done(Number.isFinite(player.duration) ? player.duration : null)
    player.onerror = () => done(null)
    player.preload = 'metadata'
    player.src = address
  }).finally(() => { player.removeAttribute('src'); URL.revokeObjectURL(address) })
}

// `file` to an AudioBuffer at `sr` Hz; what is wrong with it is said in a sentence
export async function decode(file, sr, n_stems) {
  const refuse = seconds => { throw new Error(`${file.name} is ${minutes(seconds)} long, which is too long for the memory here. ${limit_sentence(longest(n_stems, sr))}`) }
  const told = await probe(file)
  if (told > longest(n_stems, sr)) refuse(told)
  let song
  try { song = await new OfflineAudioContext(1, 1, sr).decodeAudioData(await file.arrayBuffer()) } catch (e) {
    if (e instanceof RangeError) throw new Error(`${file.name} is too large for the memory here. ${limit_sentence(longest(n_stems, sr))}`)
    throw new Error(`${file.name} can't be decoded by this browser. Is it a sound file? Convert it to mp3, flac or wav.`)
  }
  if (!song.length) throw new Error(`${file.name} has no sound in it.`)
  if (song.duration > longest(n_stems, sr, song.numberOfChannels)) refuse(song.duration)
  return song
}

export const channels_of = buffer => Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c))

// Channels from `start` to `stop`, with zeros outside of the song
export function read_samples(channels, start, stop) {
  return channels.map(samples => {
    const out = new Float32Array(stop - start)
    out.set(samples.subarray(Math.max(0, start), Math.max(0, stop)), Math.max(0, -start))
    return out
  })
}
