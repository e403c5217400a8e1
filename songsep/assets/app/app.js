// The page that `songsep app` serves: it asks the server, shows what it says, and plays nothing itself; that is the console's.
const $ = (o, root = document) => root.querySelector(o), $$ = (o, root = document) => [...root.querySelectorAll(o)]
const clone = id => $(`#${id}`).content.firstElementChild.cloneNode(true)
const make = (tag, what) => Object.assign(document.createElement(tag), what)
const clock = t => `${Math.floor(t/60)}:${String(Math.floor(t%60)).padStart(2, '0')}`
const size = n => n >= 1e5 ? `${(n/1e6).toFixed(1)} MB` : `${(n/1e3).toFixed(1)} kB`
const megabytes = n => `${n < 10 ? +n.toFixed(1) : Math.round(n)} MB`
const sentence = s => s.replace(/^[a-z]+(?=[ ,])/, word => word[0].toUpperCase() + word.slice(1)) // a file's name stays as it is
let page = null, job = null // what there is to choose from; what is waited for
const chosen = { song: null, model: null }

// The server

async function ask(address, body) {
  let answer
  try {
    answer = await fetch(address, body === undefined ? {} : { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } })
  } catch { throw new Error('The program does not answer. Has it been stopped?') }
  const said = await answer.json().catch(() => ({}))
  if (!answer.ok) throw new Error(said.error ? sentence(said.error) : `The program answered with ${answer.status}.`)
  return said
}

const tell = e => { $('#fault p').textContent = e?.message ?? '' }
const tried = fn => async (...args) => { tell(); try { return await fn(...args) } catch (e) { tell(e) } }

$('#fault button').onclick = () => tell()

// Tabs

const tabs = $$('[role=tab]')
const open_tab = () => tabs.find(o => o.ariaSelected === 'true').id.slice(4)

function show_tab(tab, focus = false) {
  for (const o of tabs) {
    o.ariaSelected = String(o === tab)
    o.tabIndex = o === tab ? 0 : -1
    $(`#${o.getAttribute('aria-controls')}`).hidden = o !== tab
  }
  if (focus) tab.focus()
  tell()
  if (open_tab() === 'training') tried(look)()
}

tabs.forEach((o, i) => {
  o.onclick = () => show_tab(o)
  o.onkeydown = e => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key]
    if (step) show_tab(tabs[(i + step + tabs.length)%tabs.length], true)
  }
})

// Songs and models

function show_songs() {
  if (!page.songs.some(o => o.name === chosen.song)) chosen.song = page.songs[0]?.name ?? null
  $('#list').replaceChildren(...page.songs.map(song => {
    const item = clone('a-song'), remove = $('.remove', item)
    $('.name', item).textContent = song.name
    $('.length', item).textContent = song.seconds === null ? 'cannot be read' : clock(song.seconds)
    Object.assign($('input', item), { value: song.name, checked: song.name === chosen.song, onchange: () => { chosen.song = song.name; ready() } })
    Object.assign(remove, { hidden: !song.mine, ariaLabel: `Remove ${song.name}` })
    remove.onclick = tried(async () => { await ask('remove', { song: song.name }); await load() })
    return item
  }))
}

function facts(model) {
  const seconds = 240/model.pace, pace = model.pace && `4-minute song in ${seconds < 100 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds/60)} minutes`}`
  return [pace, model.here && megabytes(model.megabytes), model.licence].filter(Boolean).join(' · ')
}

function pill(stem, i) {
  const o = make('span', { className: 'pill', textContent: stem })
  o.dataset.hue = i%8
  return o
}

function show_models() {
  if (!page.models.some(o => o.here && o.name === chosen.model)) chosen.model = page.models.find(o => o.here)?.name ?? null
  const missing = page.models.filter(o => !o.here), given = new Set(page.models.filter(o => o.here).flatMap(o => o.stems))
  $('#away').hidden = !missing.length
  $('#gives').textContent = missing.some(o => o.stems.includes('vocals')) && !given.has('vocals') ? 'for vocals, among others' : ''
  $('#cards').replaceChildren(...page.models.filter(o => o.here).map(card_of))
  $('#away .cards').replaceChildren(...missing.map(card_of))
}

function card_of(model) {
  const card = clone('a-card'), fetch_it = `Fetch it (${megabytes(model.megabytes)})`
  card.classList.toggle('away', !model.here)
  $('.name', card).textContent = model.name
  $('.says', card).textContent = model.says
  $('.pills', card).replaceChildren(...model.stems.map(pill))
  $('.facts', card).textContent = facts(model)
  Object.assign($('input', card), { value: model.name, disabled: !model.here, checked: model.name === chosen.model, onchange: () => { chosen.model = model.name; ready() } })
  Object.assign($('.fetch', card), { hidden: model.here, textContent: fetch_it, ariaLabel: `${fetch_it}: ${model.name}` })
  $('.fetch', card).onclick = tried(() => begin('fetch', { model: model.name }))
  return card
}

const goes_on = o => !!o && ['waiting', 'working'].includes(o.state)

function ready() {
  const busy = goes_on(job)
  $('#start').disabled = !chosen.song || !chosen.model || busy
  for (const o of $$('.fetch')) o.disabled = busy
  $('#listen').disabled = busy || !$('#unheard').value
  $('#measure').disabled = busy || !Object.keys(targets).length
}

// What comes: one after the other, and refused before it travels where that can be known

function upload(file) {
  if (file.size > page.limit*1e6) throw new Error(`${file.name} has ${Math.round(file.size/1e6)} MB, and ${page.limit} MB are the most that is taken. Convert it to mp3 or flac first.`)
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest(), bar = $('#coming'), says = $('#limit')
    const refused = s => s.startsWith(file.name.split(/\W/)[0]) ? s : sentence(s)
    request.open('PUT', `songs?name=${encodeURIComponent(file.name)}`)
    request.responseType = 'json'
    request.upload.onprogress = e => {
      bar.value = e.loaded/e.total
      says.textContent = e.loaded < e.total ? `${file.name}: ${size(e.loaded)} of ${size(e.total)}` : `Looking at ${file.name}`
    }
    request.onload = () => request.status === 200 ? done(request.response.name) : failed(new Error(refused(request.response?.error ?? `the program answered with ${request.status}.`)))
    request.onerror = () => failed(new Error(`${file.name} did not arrive. Is the program still there?`))
    bar.hidden = false
    request.send(file)
  }).finally(() => { $('#coming').hidden = true; show_limit() })
}

const take = tried(async files => {
  const faults = []
  for (const file of files) {
    try { chosen.song = await upload(file) } catch (e) { faults.push(e.message) }
  }
  await load()
  if (faults.length) throw new Error(faults.join('\n'))
})

$('#file').onchange = e => { take([...e.target.files]); e.target.value = '' }
document.addEventListener('dragover', e => { e.preventDefault(); $('#drop').classList.add('over') })
document.addEventListener('dragleave', e => { if (!e.relatedTarget) $('#drop').classList.remove('over') })
document.addEventListener('drop', e => {
  e.preventDefault()
  $('#drop').classList.remove('over')
  if (e.dataTransfer.files.length) { show_tab(tabs[0]); take([...e.dataTransfer.files]) }
})

// Work

async function begin(what, body) {
  await ask(what, body)
  await news()
}

const PLACES = { separate: 'songs', fetch: 'songs', listen: 'training', measure: 'recipes' }
const STAGES = { opening: 'opening the model', separating: 'separating', writing: 'writing the stems', drawing: 'drawing the console',
  fetching: 'fetching', converting: 'converting', reading: 'reading the stems', cancelling: 'stopping' }

function told(o) {
  if (o.state === 'waiting') return o.ahead ? `${o.title} waits for its turn: ${o.ahead} before it.` : `${o.title} comes next.`
  const left = o.left === null ? '' : o.left < 90 ? `, about ${o.left}\u00a0s left` : `, about ${Math.round(o.left/60)}\u00a0minutes left`
  return `${o.title}: ${STAGES[o.stage] ?? 'working'}${left}`
}

function show_work() {
  for (const tab of ['songs', 'training', 'recipes']) {
    const work = $(`#${tab} .work`)
    work.hidden = !goes_on(job) || PLACES[job.what] !== tab
    if (work.hidden) { work.replaceChildren(); continue }
    if (!work.children.length) {
      work.append($('#a-work').content.cloneNode(true))
      $('.cancel', work).onclick = tried(async () => { $('.cancel', work).disabled = true; await ask('cancel', {}) })
      work.scrollIntoView({ block: 'nearest', behavior: 'smooth' })
    }
    if ($('.what', work).textContent !== told(job)) $('.what', work).textContent = told(job)
    job.share ? $('progress', work).value = job.share : $('progress', work).removeAttribute('value')
  }
  ready()
}

let asking = null
async function news() {
  clearTimeout(asking)
  const before = job
  try { job = await ask('news') } catch (e) { tell(e) }
  show_work()
  if (goes_on(before) && !goes_on(job)) await tried(ended)()
  asking = setTimeout(news, goes_on(job) ? 400 : 15_000) // the second says that the page is still open
}

async function ended() {
  const done = job.state === 'done'
  if (job.what === 'fetch' && done) chosen.model = job.title
  await load()
  if (job.what === 'measure' && done) await measured()
  if (['separate', 'listen'].includes(job.what) && done) $(`#${PLACES[job.what]} .result`)?.scrollIntoView({ behavior: 'smooth' })
  if (job.state === 'failed') throw new Error(sentence(job.error))
}

$('#start').onclick = tried(() => begin('separate', { song: chosen.song, model: chosen.model, format: $('[name=format]:checked').value }))

// Results: each is made once, and stays as it is when others come

function link(text, href, small) {
  const a = make('a', { className: 'button', textContent: text, href, download: '' })
  if (small) a.append(make('small', { textContent: small }))
  return a
}

function result(o) {
  const article = clone('a-result'), at = `results/${o.number}`, names = Object.keys(o.stems), frame = $('iframe', article)
  const without = names.map(k => link(k, `${at}/mix?${new URLSearchParams({ [k]: 0 })}`))
  article.dataset.number = o.number
  article.ariaLabel = frame.title = `${o.title}, by ${o.model}`
  $('h2', article).textContent = o.title
  $('.about', article).textContent = `By ${o.model}${/research/.test(o.licence ?? '') ? ` (${o.licence})` : ''}. ${o.says}`
  $('.zip', article).href = `${at}/zip`
  $('.stems', article).replaceChildren(...names.map(k => link(k, `${at}/stem?stem=${encodeURIComponent(k)}`, size(o.stems[k]))))
  $('.without', article).replaceChildren(...without)
  for (const a of without) a.ariaLabel = `Mix without ${a.textContent}`
  $('.practice .label', article).hidden = $('.without', article).hidden = names.length < 2
  $('.remove', article).ariaLabel = `Remove ${o.title} by ${o.model}`
  $('.remove', article).onclick = tried(async () => { await ask('remove', { number: o.number }); await load() })
  frame.onload = () => {
    $('.heard', article).disabled = !frame.contentWindow.songsep
    $('h1', frame.contentDocument)?.remove() // it stands above the frame
  }
  $('.heard', article).onclick = tried(async () => save_heard(frame, at))
  frame.src = `${at}/console`
  return article
}

function save_heard(frame, at) {
  const console = frame.contentWindow.songsep.console
  const gains = console.stems.map(o => [o.name, console.original ? 1 : console.heard(o)])
  if (gains.every(([, v]) => !v)) throw new Error('Every stem is off: there is nothing to save.')
  make('a', { href: `${at}/mix?${new URLSearchParams(gains)}`, download: '' }).click()
}

function show_results() {
  for (const tab of ['songs', 'training']) {
    const place = $(`#${tab} .results`), wanted = page.results.filter(o => o.tab === tab)
    for (const o of [...place.children]) if (!wanted.some(r => r.number === +o.dataset.number)) o.remove()
    for (const r of [...wanted].reverse()) if (!$(`[data-number="${r.number}"]`, place)) place.prepend(result(r))
  }
}

// Training

let seen = null, looking = false // which picture is shown; is one being drawn?

function options(select, names) {
  const kept = select.value
  if (String([...select.options].map(o => o.value)) !== String(names)) select.replaceChildren(...names.map(o => new Option(o, o)))
  if (names.includes(kept)) select.value = kept
}

async function look() {
  const model = $('#trained').value
  if (!model || looking) return
  looking = true
  const said = await ask(`training?${new URLSearchParams({ model, width: $('#picture').clientWidth, seen: seen ?? '' })}`).finally(() => { looking = false })
  if (!said.seen || model !== $('#trained').value) return
  seen = said.seen
  $('#picture').innerHTML = said.picture // matplotlib has escaped it
  $('#picture').ariaLabel = $('#says').textContent = said.says
  options($('#unheard'), said.songs)
  $('#no-unheard').hidden = said.songs.length > 0
  $('#listen').hidden = $('#unheard').parentElement.hidden = !said.songs.length
  ready()
}

$('#trained').onchange = () => { seen = null; tried(look)() }
$('#listen').onclick = tried(() => begin('listen', { model: $('#trained').value, song: $('#unheard').value }))
const look_again = () => { if (open_tab() === 'training' && !document.hidden) look().catch(tell) }
setInterval(look_again, 2000)
addEventListener('resize', () => { seen = null; look_again() })

// Recipes

let targets = {}, classes = []

async function instruments() {
  if (!page.datasets.length) return
  const said = await ask(`instruments?${new URLSearchParams({ dataset: $('#dataset').value, key: $('#key').value })}`)
  options($('#key'), said.keys)
  for (const o of $('#key').options) o.textContent = o.value || 'the names of the files'
  $('#key').value = said.key
  classes = said.classes
  targets = {}
  show_recipe()
}

function show_recipe() {
  const taken = Object.values(targets).flat()
  $('#classes').replaceChildren(...classes.map(([value, n], i) => {
    const label = make('label'), box = make('input', { type: 'checkbox', disabled: taken.includes(value) })
    box.dataset.at = i
    label.append(box, `${value} (${n})`)
    return label
  }))
  $('#targets').replaceChildren(...Object.entries(targets).map(([name, values]) => {
    const item = make('li'), remove = make('button', { className: 'quiet', type: 'button', textContent: 'Remove', ariaLabel: `Remove ${name}` })
    remove.onclick = () => { delete targets[name]; show_recipe() }
    item.append(make('span', { textContent: `${name}: ${values.join(', ')}` }), remove)
    return item
  }))
  ready()
}

$('#add').onclick = tried(async () => {
  const name = $('#target').value.trim(), ticked = $$('#classes input:checked').map(o => classes[o.dataset.at][0])
  if (!name) throw new Error('The target has no name. Write one, such as drums.')
  if (!ticked.length) throw new Error('No instrument is ticked. Tick at least one.')
  if (name in targets) throw new Error(`${name} is there already. Call the target something else.`)
  targets[name] = ticked
  $('#target').value = ''
  show_recipe()
})
$('#target').onkeydown = e => { if (e.key === 'Enter') $('#add').click() }
for (const id of ['#dataset', '#key']) $(id).onchange = tried(instruments)
$('#measure').onclick = tried(() => begin('measure', { dataset: $('#dataset').value, key: $('#key').value, name: $('#recipe-name').value, targets }))

async function measured() {
  const said = await ask('recipe'), place = $('#measured'), list = make('ul'), how = make('p', { className: 'soft', textContent: 'Then ' })
  place.innerHTML = said.table // the server has escaped it
  list.append(...said.advice.map(o => make('li', { textContent: o })))
  const file = link(`Save ${said.name}.yaml`, URL.createObjectURL(new Blob([said.text], { type: 'application/yaml' })))
  file.download = `${said.name}.yaml`
  how.append(make('code', { textContent: `songsep prepare DATASET --recipe ${said.name}.yaml` }))
  if (said.advice.length) place.append(list)
  place.append(make('pre', { textContent: said.text, tabIndex: 0 }), file, how)
  place.hidden = false
}

// Begin

function show_limit() { $('#limit').textContent = `Any audio file, or video with sound, up to ${page.limit} MB` }

async function load() {
  page = await ask('page')
  show_limit()
  show_songs()
  show_models()
  show_results()
  options($('#trained'), page.trainings)
  options($('#dataset'), page.datasets)
  for (const [id, there] of [['#trainings', page.trainings], ['#studio', page.datasets]]) $(id).hidden = !there.length
  $('#no-training').hidden = page.trainings.length > 0
  $('#no-data').hidden = page.datasets.length > 0
  ready()
}

await tried(load)()
await tried(instruments)()
news()
