// The console's sound and its controls. What is drawn is in the page already: this file plays it.
// Every sound has a source of its own; all start at one time of one clock, at a sample, so that they cannot drift.
'use strict'

const SILENT_DB = -40 // the lowest place of a volume slider means nothing at all
const amplitude = db => db <= SILENT_DB ? 0 : 10**(db/20)
const whole = t => Math.floor(t + .005) // a sound that lost a sample on its way is as long as it was
const clock = t => `${Math.floor(whole(t)/60)}:${String(whole(t)%60).padStart(2, '0')}`
const clamp = (x, low, high) => Math.min(Math.max(x, low), high)
const press = (button, on) => button.setAttribute('aria-pressed', String(on))

// What base64 stands for. A loop over megabytes takes a hundredth of the time of `Uint8Array.from` with a function
function bytes(base64) {
  const text = atob(base64), res = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) res[i] = text.charCodeAt(i)
  return res.buffer
}

const FILE = 30, PIECE = 4, AHEAD = 8 // seconds: from one file of a sound to the next; of what becomes an AudioBuffer at a time; of what waits to be played

// A sound in 16 bits, which is half of what an AudioBuffer takes
class Sound {
  constructor(buffer, room = buffer.length) {
    Object.assign(this, { sr: buffer.sampleRate, length: 0, top: 1 })
    this.channels = Array.from({ length: buffer.numberOfChannels }, () => new Int16Array(room))
    this.add(buffer, 0)
  }

  get duration() { return this.length/this.sr }

  // What comes next, from a sample on: where it lies over what is there, one fades into the other
  add(buffer, start) {
    const floats = this.channels.map((_, c) => buffer.getChannelData(c)), over = Math.max(0, this.length - start)
    let top = this.top // Opus may go beyond full scale
    for (const y of floats) for (let i = 0; i < y.length; i++) top = Math.max(top, Math.abs(y[i]))
    this.channels.forEach((to, c) => {
      if (top > this.top) for (let i = 0; i < this.length; i++) to[i] = Math.round(to[i]*this.top/top)
      const y = floats[c], scale = 32767/top
      for (let i = 0; i < over; i++) to[start + i] = Math.round(to[start + i] + (y[i]*scale - to[start + i])*i/over)
      for (let i = over; i < y.length; i++) to[start + i] = Math.round(y[i]*scale)
    })
    Object.assign(this, { top, length: start + buffer.length })
  }

  // The samples from `start` until before `end`, as they are played
  piece(start, end) {
    const res = new AudioBuffer({ length: end - start, numberOfChannels: this.channels.length, sampleRate: this.sr }), scale = this.top/32767
    this.channels.forEach((y, c) => { const to = res.getChannelData(c); for (let i = start; i < end; i++) to[i - start] = y[i]*scale })
    return res
  }
}

// Plays a sound in pieces that meet at a sample, with what an AudioBufferSourceNode has for it: `connect`, `start`, `stop`, `onended`
class Player {
  constructor(context, sound, loop) { Object.assign(this, { context, sound, live: new Set(), loop: loop && loop.map(t => Math.round(t*sound.sr)) }) }

  connect(node) { return this.node = node }

  start(at, from) {
    this.at = Math.round(at*this.sound.sr)
    this.place = Math.round(from*this.sound.sr)
    this.fill()
  }

  // All of an OfflineAudioContext, and the next seconds of any other; whenever a piece has ended, more is added
  fill() {
    const { context, sound, live } = this, end = this.loop ? Math.min(this.loop[1], sound.length) : sound.length
    const until = context.length ?? (context.currentTime + AHEAD)*sound.sr
    while (this.place < end && this.at < until) {
      const stop = Math.min(this.place + PIECE*sound.sr, end), key = `${this.place} ${stop}`
      if (this.key !== key) Object.assign(this, { key, buffer: sound.piece(this.place, stop) }) // a short loop is one piece
      const source = new AudioBufferSourceNode(context, { buffer: this.buffer })
      source.connect(this.node)
      source.onended = () => { live.delete(source); this.fill(); if (!live.size) this.onended?.() }
      const late = Math.max(0, Math.ceil(context.currentTime*sound.sr) - this.at) // on a slow machine the beginning is lost, but no time
      source.start((this.at + late)/sound.sr, late/sound.sr)
      live.add(source)
      this.at += stop - this.place
      this.place = this.loop && stop === end ? this.loop[0] : stop
    }
  }

  stop() {
    for (const source of this.live) { source.onended = null; source.stop() }
    this.live.clear()
  }
}

class Console {
  // Sounds that the page does not hold are given by name, as AudioBuffers that are filled while they play: see `arrive`
  constructor(root, sounds = null) {
    const $ = o => root.querySelector(o)
    Object.assign(this, { root, position: 0, loop: null, looping: false, original: false, playing: null, waiting: false, listening: new AbortController() })
    this.sr = +root.dataset.sr
    this.duration = +root.dataset.seconds
    this.ui = { play: $('.play'), seek: $('.seek'), time: $('.time'), loop: $('.loop'), from: $('.from'), to: $('.to'), stems: $('.stems'), song: $('.song'), meter: $('.meter'), peak: $('.peak'), state: $('.state') }
    this.tracks = [...root.querySelectorAll('.lane')].map(lane => ({ lane, name: lane.dataset.name, song: 'song' in lane.dataset, solo: false, mute: false, db: 0 }))
    this.stems = this.tracks.filter(o => !o.song)
    this.groups = [...root.querySelectorAll('.group')].map(group => ({ group, stems: this.stems.filter(o => group.contains(o.lane)) }))
    this.available = sounds ? 0 : this.duration // seconds that are there
    this.wire()
    this.ruler()
    this.resized = new ResizeObserver(() => this.ruler())
    this.resized.observe(root)
    this.ready = sounds ? this.take(sounds) : this.decode()
  }

  close() {
    this.pause()
    this.listening.abort()
    this.resized.disconnect()
    this.context?.close()
  }

  // Sound

  async decode() {
    await new Promise(done => setTimeout(done, 50)) // the page is seen first: decoding keeps every core busy for seconds
    const decoder = new OfflineAudioContext(1, 1, this.sr)
    try {
      const left = [...this.tracks]
      await Promise.all([1, 2].map(async () => { // two at a time: what is decoded is large until it has 16 bits
        for (let o; o = left.shift();) {
          const text = o.lane.querySelector('.sound'), files = text.textContent.split(' ')
          for (const [i, file] of files.entries()) {
            const buffer = await decoder.decodeAudioData(bytes(file))
            i ? o.sound.add(buffer, i*FILE*this.sr) : o.sound = new Sound(buffer, files.length > 1 ? (files.length*FILE + 1)*this.sr : undefined)
          }
          text.remove() // it is there twice now
        }
      }))
    } catch {
      this.fault = 'This browser can’t play Opus in WebM. Update it, or play the sound files beside this page.'
      return this.show()
    }
    for (const o of this.root.querySelectorAll('.save')) o.disabled = false
    this.available = this.duration = Math.min(...this.tracks.map(o => o.sound.duration))
    this.ui.play.disabled = false
    this.show()
  }

  async take(sounds) {
    for (const o of this.tracks) o.buffer = sounds[o.name]
    this.show()
  }

  // So many seconds of all sounds are there
  arrive(seconds) {
    this.available = Math.min(seconds, this.duration)
    this.ui.play.disabled = false
    this.extend()
    if (this.waiting) this.play()
    this.show()
  }

  // Sources may hold what a buffer held when they started. Shortly before they come to the end of it, and when all is there,
  // others go on where they are
  extend() {
    if (!this.playing || this.horizon >= this.available) return
    if (this.available < this.duration && this.now() < this.horizon - .5) return
    const at = this.context.currentTime + .05, from = this.now(at), { parts } = this.playing
    parts.forEach((part, i) => {
      part.source.onended = null
      part.source.stop(at)
      part.source = this.source(this.context, this.tracks[i])
      part.source.connect(part.gain)
      part.source.start(at, from)
    })
    this.horizon = this.available
    this.ending(parts)
  }

  // How loud each track is now
  heard(o) {
    if (o.song) return this.original ? 1 : 0
    if (this.original || o.mute && !o.solo) return 0
    return this.stems.some(s => s.solo) && !o.solo ? 0 : amplitude(o.db)
  }

  // The whole graph, for the loudspeaker as for a rendering: source -> gain, of each track -> sum -> out
  graph(context) {
    const sum = context.createGain()
    const parts = this.tracks.map(o => {
      const source = this.source(context, o), gain = new GainNode(context, { gain: this.heard(o) })
      source.connect(gain).connect(sum)
      return { source, gain }
    })
    sum.connect(context.destination)
    return { sum, parts }
  }

  source(context, o) {
    if (o.sound) return new Player(context, o.sound, this.looping && this.loop)
    const source = new AudioBufferSourceNode(context, { buffer: o.buffer })
    if (this.looping) Object.assign(source, { loop: true, loopStart: this.loop[0], loopEnd: this.loop[1] })
    return source
  }

  // What the loudspeaker would get from a moment on: the channels of the sum. For tests, and for whoever wants the mix
  async render(from = this.position, seconds = this.duration - from) {
    await this.ready
    const channels = Math.max(...this.tracks.map(o => o.sound?.channels.length ?? o.buffer.numberOfChannels))
    const context = new OfflineAudioContext(channels, Math.max(1, Math.round(seconds*this.sr)), this.sr)
    for (const { source } of this.graph(context).parts) source.start(0, from)
    const out = await context.startRendering()
    return Array.from({ length: channels }, (_, i) => out.getChannelData(i))
  }

  // What a track holds as a WAV file of 16 bits
  wav({ sound }) {
    const n = sound.channels.length, bytes = 2*n*sound.length, file = new DataView(new ArrayBuffer(44 + bytes))
    const text = (at, s) => [...s].forEach((c, i) => file.setUint8(at + i, c.charCodeAt(0)))
    text(0, 'RIFF'); text(8, 'WAVEfmt '); text(36, 'data')
    for (const [at, v] of [[4, 36 + bytes], [16, 16], [24, this.sr], [28, 2*n*this.sr], [40, bytes]]) file.setUint32(at, v, true)
    for (const [at, v] of [[20, 1], [22, n], [32, 2*n], [34, 16]]) file.setUint16(at, v, true)
    const samples = new Int16Array(file.buffer, 44)
    sound.channels.forEach((y, c) => y.subarray(0, sound.length).forEach((v, i) => { samples[i*n + c] = clamp(Math.round(v*sound.top), -32767, 32767) }))
    return new Blob([file], { type: 'audio/wav' })
  }

  save(o) {
    const link = document.createElement('a')
    link.href = URL.createObjectURL(this.wav(o))
    link.download = `${this.root.querySelector('h1').textContent} - ${o.name}.wav`
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
  }

  play() {
    if (this.playing || this.ui.play.disabled) return
    this.context ||= new AudioContext({ sampleRate: this.sr })
    this.context.resume()
    if (this.looping && (this.position < this.loop[0] || this.position >= this.loop[1])) this.position = this.loop[0]
    if (this.position >= this.duration - .01) this.position = 0
    this.waiting = this.position >= this.available
    if (this.waiting) return this.show()
    const at = Math.ceil((this.context.currentTime + .08)*this.sr)/this.sr, { sum, parts } = this.graph(this.context), split = this.context.createChannelSplitter(2)
    const ears = [0, 1].map(i => { const a = new AnalyserNode(this.context, { fftSize: 2048 }); split.connect(a, i); return a })
    sum.channelCount = 2
    sum.channelCountMode = 'explicit'
    sum.connect(split)
    for (const { source } of parts) source.start(at, this.position)
    this.playing = { at, from: this.position, parts, sum, ears }
    this.horizon = this.available
    this.ending(parts)
    this.show()
    requestAnimationFrame(() => this.tick())
  }

  ending(parts) { parts[0].source.onended = () => { if (this.playing?.parts === parts) { this.pause(); this.seek(0) } } }

  pause() {
    this.waiting = false
    if (!this.playing) return this.show()
    this.position = this.now()
    const { parts, sum } = this.playing
    this.playing = null
    for (const { source } of parts) source.stop()
    sum.disconnect()
    this.show()
  }

  toggle() { this.playing || this.waiting ? this.pause() : this.play() }

  // Where the song is at a time of the context's clock, seconds
  now(time = this.context?.currentTime) {
    if (!this.playing) return this.position
    const t = this.playing.from + Math.max(0, time - this.playing.at)
    if (!this.looping || t < this.loop[1]) return Math.min(t, this.duration)
    return this.loop[0] + (t - this.loop[0])%(this.loop[1] - this.loop[0])
  }

  // Change something that sources are told only when they start
  restart(change) {
    const playing = !!this.playing || this.waiting
    this.pause()
    change()
    if (playing) this.play()
    this.show()
  }

  seek(t) {
    this.restart(() => {
      this.position = clamp(t, 0, this.duration)
      if (this.looping && (t < this.loop[0] || t > this.loop[1])) this.looping = false
    })
  }

  setLoop(from, to) {
    [from, to] = [clamp(Math.min(from, to), 0, this.duration), clamp(Math.max(from, to), 0, this.duration)]
    if (to - from < .05) return
    this.restart(() => { this.loop = [from, to]; this.looping = true })
  }

  toggleLoop() { this.restart(() => { this.loop ||= [0, this.duration]; this.looping = !this.looping }) }

  // By a stem's name or number; `what` has solo, mute, db
  set(stem, what) {
    Object.assign(this.stems.find((o, i) => o.name === stem || i === stem), what)
    this.level()
  }

  setAll(stems, what) {
    for (const o of stems) Object.assign(o, what)
    this.level()
  }

  hearOriginal(on) {
    if (!this.ui.song) return
    this.original = on
    this.level()
  }

  level() {
    this.playing?.parts.forEach(({ gain }, i) => gain.gain.setTargetAtTime(this.heard(this.tracks[i]), this.context.currentTime, .008)) // a step would click
    this.show()
  }

  // Peaks of left and right, of full scale
  peaks() {
    return this.playing ? this.playing.ears.map(a => {
      const y = new Float32Array(a.fftSize)
      a.getFloatTimeDomainData(y)
      return y.reduce((m, v) => Math.max(m, Math.abs(v)), 0)
    }) : [0, 0]
  }

  // Controls

  wire() {
    const { ui } = this
    ui.play.onclick = () => this.toggle()
    ui.seek.oninput = () => this.seek(+ui.seek.value)
    ui.loop.onclick = () => this.toggleLoop()
    ui.from.onclick = () => this.setLoop(this.now(), this.loop && this.loop[1] > this.now() ? this.loop[1] : this.duration)
    ui.to.onclick = () => this.setLoop(this.loop && this.loop[0] < this.now() ? this.loop[0] : 0, this.now())
    if (ui.song) [ui.stems.onclick, ui.song.onclick] = [false, true].map(on => () => this.hearOriginal(on))
    this.stems.forEach((o, i) => {
      const $ = name => o.lane.querySelector(name)
      $('.solo').onclick = () => this.set(i, { solo: !o.solo })
      $('.mute').onclick = () => this.set(i, { mute: !o.mute })
      $('.volume').oninput = e => this.set(i, { db: +e.target.value })
      $('.volume').ondblclick = () => this.set(i, { db: 0 })
      if ($('.save')) $('.save').onclick = () => this.save(o)
    })
    for (const { group, stems } of this.groups) {
      const $ = name => group.querySelector(`:scope > .whole ${name}`)
      $('.fold').onclick = () => $('.fold').setAttribute('aria-expanded', String(!group.classList.toggle('folded')))
      for (const what of ['solo', 'mute']) $(`.${what}`).onclick = () => this.setAll(stems, { [what]: !stems.every(o => o[what]) })
    }
    for (const o of this.root.querySelectorAll('.picture')) this.point(o)
    document.addEventListener('keydown', e => this.key(e), { signal: this.listening.signal })
  }

  // A click seeks, a drag chooses what is looped
  point(picture) {
    const at = e => { const r = picture.getBoundingClientRect(); return clamp((e.clientX - r.left)/r.width, 0, 1)*this.duration }
    let start = null
    picture.onpointerdown = e => { if (e.button === 0) { start = { x: e.clientX, t: at(e) }; picture.setPointerCapture(e.pointerId) } }
    picture.onpointermove = e => { if (start && Math.abs(e.clientX - start.x) > 4) this.mark(Math.min(start.t, at(e)), Math.max(start.t, at(e))) }
    picture.onpointerup = e => {
      if (!start) return
      Math.abs(e.clientX - start.x) > 4 ? this.setLoop(start.t, at(e)) : this.seek(at(e))
      start = null
    }
    picture.onpointercancel = () => { start = null; this.show() }
  }

  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.matches('button, a, summary') && e.key === ' ' || e.target.matches('select, input:not([type=range])')) return
    const range = e.target.matches('input'), does = {
      ' ': () => this.toggle(), l: () => this.toggleLoop(), o: () => this.hearOriginal(!this.original), '[': () => this.ui.from.click(), ']': () => this.ui.to.click(),
      ArrowLeft: range ? null : () => this.seek(this.now() - 5), ArrowRight: range ? null : () => this.seek(this.now() + 5)
    }[e.key.length > 1 ? e.key : e.key.toLowerCase()]
    if (does) { e.preventDefault(); does() }
  }

  // What is seen

  ruler() {
    const ruler = this.root.querySelector('.ruler div'), labels = clamp(ruler.clientWidth/56, 2, 10) // of up to 56 pixels each
    const step = [.5, 1, 2, 5, 10, 15, 30, 60, 120, 300].find(o => this.duration/o <= labels) || 600
    this.ui.seek.max = this.duration
    ruler.replaceChildren()
    for (let t = 0; t < this.duration*(1 - .7/labels); t += step) {
      const mark = Object.assign(document.createElement('span'), { textContent: step >= 1 ? clock(t) : `${t.toFixed(1)} s` })
      mark.style.left = `${100*t/this.duration}%`
      ruler.append(mark)
    }
  }

  mark(from, to) {
    this.root.style.setProperty('--from', from/this.duration)
    this.root.style.setProperty('--to', to/this.duration)
  }

  show() {
    const { ui, root } = this
    root.classList.toggle('plays', !!this.playing || this.waiting)
    root.classList.toggle('loops', this.looping)
    ui.play.setAttribute('aria-label', this.playing || this.waiting ? 'Pause' : 'Play')
    press(ui.loop, this.looping)
    this.mark(...(this.loop || [0, 0]))
    if (ui.song) { press(ui.stems, !this.original); press(ui.song, this.original) }
    for (const o of this.tracks) {
      o.lane.classList.toggle('silent', !this.heard(o))
      if (o.song) continue
      press(o.lane.querySelector('.solo'), o.solo)
      press(o.lane.querySelector('.mute'), o.mute)
      const slider = o.lane.querySelector('.volume'), text = o.db <= SILENT_DB ? 'off' : `${o.db > 0 ? '+' : ''}${o.db} dB`.replace('-', '−')
      slider.value = o.db
      slider.setAttribute('aria-valuetext', text)
      o.lane.querySelector('.db').textContent = text
    }
    for (const { group, stems } of this.groups) {
      for (const what of ['solo', 'mute']) press(group.querySelector(`:scope > .whole .${what}`), stems.every(o => o[what]))
    }
    const says = this.fault ?? (ui.play.disabled ? 'Getting ready' : this.waiting ? 'Waiting for what comes next.' : this.tell())
    if (ui.state.textContent !== says) ui.state.textContent = says // or it would be read aloud again
    this.place()
    this.measure()
  }

  tell() {
    if (this.original) return 'You hear the song as it was.'
    const on = this.stems.filter(o => this.heard(o)).map(o => o.name)
    return !on.length ? 'You hear nothing: every stem is off.' : on.length === this.stems.length ? 'You hear the sum of all stems.' : `You hear ${on.join(' and ')}.`
  }

  place() {
    const t = this.now(), { seek, time } = this.ui
    this.root.style.setProperty('--at', t/this.duration)
    seek.value = t
    seek.setAttribute('aria-valuetext', `${clock(t)} of ${clock(this.duration)}`)
    time.textContent = `${clock(t)} / ${clock(this.duration)}`
  }

  measure() {
    const db = this.peaks().map(v => 20*Math.log10(Math.max(v, 1e-4))), top = Math.max(...db), { meter, peak } = this.ui
    this.held = this.playing ? Math.max(top, (this.held ?? -80) - .4) : -80
    db.forEach((v, i) => meter.style.setProperty(`--${'lr'[i]}`, clamp(1 + v/60, 0, 1)))
    meter.classList.toggle('over', this.held > 0)
    const text = this.held <= -60 ? '−∞ dB' : `${this.held.toFixed(1)} dB`.replace('-', '−')
    meter.setAttribute('aria-valuenow', clamp(this.held, -60, 6).toFixed(0))
    meter.setAttribute('aria-valuetext', text)
    peak.textContent = text
  }

  tick() {
    if (!this.playing) return
    this.extend()
    if (this.now() >= this.available && this.available < this.duration) { this.restart(() => {}); return }
    this.place()
    this.measure()
    requestAnimationFrame(() => this.tick())
  }
}

// In a frame, the page behind it decides whether it is dark, and the frame is as high as what it holds

function theme() {
  let dark = matchMedia('(prefers-color-scheme: dark)').matches
  try {
    for (let o = window.frameElement; o; o = o.parentElement) {
      const c = getComputedStyle(o).backgroundColor.match(/[\d.]+/g).map(Number)
      if (c[3] !== 0) { dark = c[0] + c[1] + c[2] < 3*128; break }
    }
  } catch { /* a page of another origin does not let itself be looked at */ }
  document.documentElement.dataset.theme = dark ? 'dark' : 'light'
}

function fit() {
  const root = document.documentElement
  new ResizeObserver(() => { try { if (window.frameElement) window.frameElement.style.height = `${Math.ceil(document.body.getBoundingClientRect().height)}px` } catch {} }).observe(document.body)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', theme)
  try {
    if (window.frameElement) for (const o of [parent.document.documentElement, parent.document.body]) new MutationObserver(theme).observe(o, { attributes: true })
    root.classList.toggle('framed', !!window.frameElement)
  } catch {}
}

theme()
fit()
window.songsep = { Console }
const root = document.querySelector('.console')
if (root) window.songsep.console = new Console(root)
