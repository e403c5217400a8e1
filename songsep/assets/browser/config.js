// Sizes that follow from what a model's `model.json` says: see the page "Core", `Config`.

// Python's `round`: a half goes to the even neighbour
export function round(x) {
  const low = Math.floor(x), rest = x - low
  return rest > .5 || rest === .5 && low%2 ? low + 1 : low
}

export function config_from({ sr, segment, n_fft, hop_length, max_hz = null }) {
  const full = 1 + Math.floor(n_fft/2)
  const n_bins = max_hz === null ? full : Math.min(full, round(max_hz*n_fft/sr))
  return { sr, segment, n_fft, hop_length, max_hz, n_bins, n_frames: 1 + Math.floor(round(segment*sr)/hop_length) }
}
