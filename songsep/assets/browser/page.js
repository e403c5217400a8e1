// The form: takes a song, lets the worker separate it, fills the console as stems arrive, and saves files.
import { gain_for, wav_file, zip_file } from './audio.js'
import { channels_of, decode, limit_sentence, longest, read_samples } from './decode.js'
import { COLUMNS, ROWS, Columns } from './pictures.js'

const $ = o => document.querySelector(o)
const ui = Object.fromEntries(['form', 'file', 'demo', 'model', 'limit', 'progress', 'state', 'fault', 'cancel', 'place', 'save', 'format', 'files'].map(o => [o, $(`#${o}`)]))
const facts = await (await fetch('page.json')).json()
const chosen = () => facts.models.find(o => o.name === ui.model.value)
const megabytes = n => `${(n/1e6).toFixed(n < 1e7 ? 1 : 0)} MB`
let engine = null, job = null // the worker with the model it has opened; the song that is being separated, or was

function say(text, fault = '') {
  ui.state.textContent = text
  ui.fault.textContent = fault
}

function busy(on) {
  for (const o of [ui.file, ui.demo, ui.model]) o.disabled = on
  for (const o of [ui.progress, ui.cancel]) o.hidden = !on
  ui.form.classList.toggle('busy', on)
}

function kept(key, value) { // a page in a frame may be forbidden to keep anything
  try { return value === undefined ? localStorage.getItem(key) : localStorage.setItem(key, value) } catch { return null }
}

// The worker, with the chosen model open in it

function opened(model) {
  if (engine?.name === model.name) return engine.ready
  engine?.worker.terminate()
  const worker = new Worker('worker.js', { type: 'module' }), key = `songsep ${model.name} ${model.crc32} ${facts.runtime}`
  engine = { worker, name: model.name, key, heard: null, loaded: 0, kind: 'wasm' }
  const own = engine
  own.ready = new Promise((done, failed) => {
    worker.onerror = e => failed(new Error(`the program for separating can't be loaded (${e.message ?? 'no reason was given'}). Reload the page.`))
    worker.onmessage = ({ data }) => {
      if (data.loaded) Object.assign(own, { loaded: data.loaded, kind: data.kind })
      if (data.error) failed(new Error(data.error))
      if (data.opened) {
        if (data.opened.verdict) kept(key, data.opened.device)
        done(Object.assign(own, data.opened))
      }
      own.heard?.(data)
    }
    worker.postMessage({ open: { folder: `models/${model.name}`, files: model.files, device: kept(key) } })
  })
  own.ready.catch(() => drop_engine())
  return own.ready
}

function drop_engine() {
  engine?.worker.terminate()
  engine = null
}

// A song

async function take(file) {
  clear()
  const mine = job = { name: file.name.replace(/\.[^.]+$/, '') || file.name, began: performance.now() }, model = chosen()
  busy(true)
  ui.progress.removeAttribute('value')
  say('Decoding the song, and loading the model.')
  try {
    const [song, worker] = await Promise.all([decode(file, model.sr, model.stems.length), opened(model)])
    if (job !== mine) return
    await separate(mine, song, worker)
  } catch (e) {
    if (job !== mine) return
    clear()
    say('', e.message)
  } finally { if (job === mine || !job) busy(false) }
}

function separate(mine, song, { worker, stems }) {
  const empty = () => new AudioBuffer({ length: song.length, numberOfChannels: song.numberOfChannels, sampleRate: song.sampleRate })
  const buffers = { Original: song, ...Object.fromEntries(stems.map(o => [o, empty()])) }, source = channels_of(song)
  Object.assign(mine, { song, stems, buffers, sr: song.sampleRate, peak: 0, drawn: 0, started: performance.now() })
  mine.columns = Object.fromEntries(Object.keys(buffers).map(o => [o, new Columns()]))
  show_console(mine)
  return new Promise((done, failed) => {
    engine.heard = data => {
      if (data.error) {
        if (engine.device === 'webgpu') kept(engine.key, 'wasm') // the next try does without the card
        drop_engine()
        failed(new Error(data.error))
      }
      if (data.read) {
        const samples = read_samples(source, ...data.read)
        worker.postMessage({ samples }, samples.map(o => o.buffer))
      }
      if (data.stems) arrive(mine, data)
      if (data.finished) { finish(mine); done() }
    }
    worker.postMessage({ separate: { n_samples: song.length, sr: song.sampleRate } })
  })
}

function arrive(mine, { start, done, stems, columns }) {
  stems.forEach((y, i) => y.forEach((samples, c) => {
    mine.buffers[mine.stems[i]].copyToChannel(samples, c, start)
    for (const v of samples) mine.peak = Math.max(mine.peak, Math.abs(v))
  }))
  columns.forEach((o, i) => { if (o) mine.columns[['Original', ...mine.stems][i]].add(o) })
  const fraction = done/mine.song.length, gone = (performance.now() - mine.started)/1000
  mine.first ??= performance.now()
  ui.progress.value = fraction
  say(fraction < 1 ? `Separating: about ${Math.ceil(gone*(1 - fraction)/fraction)} s left. What is there can be heard already.` : 'Separated.')
  mine.console.arrive(done/mine.sr)
  requestAnimationFrame(() => draw(mine))
}

function finish(mine) {
  const seconds = (mine.finished = performance.now()) - mine.began, pace = 1000*mine.song.duration/seconds
  say(`Separated in ${(seconds/1000).toFixed(1)} s, ${pace < 1 ? 'slower than it plays' : `${pace.toFixed(1)} times as fast as it plays`}${engine.device === 'webgpu' ? ', on the graphics card' : ''}.`)
  ui.files.replaceChildren(...mine.stems.map((o, i) => save_button(`Save ${o}`, () => one_file(mine, i))), save_button('Save all (zip)', () => all_files(mine)))
  ui.save.hidden = false
}

function clear() {
  job?.console?.close()
  if (engine) engine.heard = null
  job = null
  ui.place.replaceChildren()
  ui.save.hidden = true
  say('')
}

function cancel() {
  drop_engine() // a network that runs can't be stopped otherwise
  clear()
  busy(false)
  say('Cancelled.')
}

// The console

function show_console(mine) {
  const root = $(`#console-${CSS.escape(chosen().name)}`).content.firstElementChild.cloneNode(true)
  root.querySelector('h1').textContent = mine.name
  root.dataset.seconds = mine.song.duration
  ui.place.replaceChildren(root)
  mine.console = new songsep.Console(root, mine.buffers)
  songsep.console = mine.console
  mine.canvas = new OffscreenCanvas(COLUMNS, ROWS)
}

const REST = 400 // ms from one picture to the next: the network needs the time more

async function draw(mine) {
  if (mine.drawing || job !== mine) { mine.again = true; return }
  mine.drawing = true
  const all = Object.values(mine.columns), top = Math.max(...all.map(o => o.top)), loudest = Math.max(...all.map(o => o.loudest))
  for (const { lane, name } of mine.console.tracks) {
    lane.querySelector('path').setAttribute('d', mine.columns[name].outline(top))
    mine.canvas.getContext('2d').putImageData(new ImageData(mine.columns[name].pixels(loudest), COLUMNS, ROWS), 0, 0)
    const picture = new FileReader(), ready = new Promise(done => { picture.onload = done })
    picture.readAsDataURL(await mine.canvas.convertToBlob())
    await ready
    lane.querySelector('.spectrogram').style.setProperty('--png', `url(${picture.result})`)
  }
  if (mine.drawn++) await new Promise(done => setTimeout(done, mine.finished ? 0 : REST))
  mine.drawing = false
  if (mine.again) { mine.again = false; draw(mine) }
}

// Files

function save_button(text, fn) {
  const button = Object.assign(document.createElement('button'), { type: 'button', textContent: text })
  button.onclick = async () => {
    button.disabled = true
    try {
      const [name, blob] = await fn()
      const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name })
      link.click()
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
    } catch (e) { say('', e.message) } finally { button.disabled = false }
  }
  return button
}

const sounds = mine => mine.stems.map(o => channels_of(mine.buffers[o]))
const gain = mine => gain_for(mine.peak, ui.format.value)

async function one_file(mine, i) {
  return [`${mine.stems[i]}.wav`, await wav_file(sounds(mine), channels_of(mine.song), i, mine.sr, ui.format.value, gain(mine))]
}

async function all_files(mine) {
  const names = mine.stems.map(o => `${mine.name}/${o}.wav`)
  return [`${mine.name}.zip`, await zip_file(names, sounds(mine), channels_of(mine.song), mine.sr, ui.format.value, gain(mine))]
}

// The form

function offer() {
  const { stems, sr, bytes } = chosen()
  ui.limit.textContent = `${limit_sentence(longest(stems.length, sr))} The first song loads ${megabytes(bytes + facts.bytes.wasm)}, or ${megabytes(bytes + facts.bytes.webgpu)} where the browser offers a graphics card.`
}

async function demo() {
  const answer = await fetch(facts.demo)
  if (!answer.ok) return say('', `the demo song can't be fetched (${answer.status}).`)
  await take(new File([await answer.blob()], facts.demo.split('/').pop()))
}

const given = o => o?.files?.length ? take(o.files[0]) : null
ui.file.onchange = () => { given(ui.file); ui.file.value = '' }
ui.demo.onclick = demo
ui.cancel.onclick = cancel
ui.model.onchange = offer
document.addEventListener('dragover', e => { e.preventDefault(); ui.form.classList.add('over') })
document.addEventListener('dragleave', () => ui.form.classList.remove('over'))
document.addEventListener('drop', e => {
  e.preventDefault()
  ui.form.classList.remove('over')
  if (!ui.form.classList.contains('busy')) given(e.dataTransfer)
})
setInterval(() => {
  if (!engine || engine.stems || !ui.form.classList.contains('busy')) return
  say(`Loading the model: ${megabytes(engine.loaded)} of ${megabytes(chosen().bytes + facts.bytes[engine.kind])}.`)
}, 250)

songsep.page = { get job() { return job }, get engine() { return engine } } // for tests
document.documentElement.classList.toggle('small', new URLSearchParams(location.search).has('small'))
offer()
busy(false)
say('')
