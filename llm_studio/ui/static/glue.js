// What the page needs beside Wave: charts, the theme mark, actions of our own markup, downloads, limits on text, resync.
// Runs before Wave's own script. Reads only elements that the studio's server wrote; holds no state that must last.
(() => {
  'use strict'

  const
    FOLLOWING = '.ls-follow, [data-test^="talk_"]',  // what scrolls with its newest line until the user scrolls up
    LONGEST_TEXT = 300000,      // characters in one text area
    LONGEST_MESSAGE = 1000000,  // bytes; Wave closes the connection above 1 MiB without a word
    SECOND_CLICK = 400,         // milliseconds
    LONGEST_BUSY = 20000,       // milliseconds; then the line says nothing more, the page's own words must
    root = document.documentElement,
    version = new URL(document.currentScript.src).search

  // Fluent would declare font faces on a host of its own; an empty address keeps it from that.
  window.FabricConfig = { fontBaseUrl: '' }

  // ---- theme: known before the first card arrives, so that nothing flashes -------------------------------------------

  const setTheme = (name) => {
    if (root.dataset.theme === name) return
    root.dataset.theme = name
    try { localStorage.setItem('studio-theme', name) } catch { /* private window: the server remembers it anyway */ }
    charts.redrawAll()
  }

  // ---- what is sent: too large a form is refused with words instead of a lost connection ------------------------------

  const send = WebSocket.prototype.send
  let socketOpened = 0
  WebSocket.prototype.send = function (data) {
    if (typeof data === 'string' && data.startsWith('@ ')) showBusy()
    if (typeof data === 'string' && data.startsWith('@ ') && data.length > LONGEST_MESSAGE / 4) {
      const size = new Blob([data]).size
      if (size > LONGEST_MESSAGE) {
        const address = data.split(' ', 2)[1]
        const event = { '': { studio: { too_big: size } }, __wave_submission_name__: 'studio' }
        return send.call(this, `@ ${address} ${JSON.stringify(event)}`)
      }
    }
    if (typeof data === 'string' && data.startsWith('+ ')) {
      socketOpened++
      if (socketOpened > 1) setTimeout(() => resync('reconnected'), 300)
      setTimeout(askAgain, 2000)
    }
    return send.call(this, data)
  }

  const emit = (name, value) => { if (window.wave) window.wave.emit('studio', name, value) }

  // ---- busy: a line on top from the moment something is asked until the server has answered ---------------------------

  let busySince = 0
  const showBusy = () => {
    const since = busySince = performance.now()
    root.dataset.busy = 'yes'
    setTimeout(() => { if (busySince === since) showAnswered() }, LONGEST_BUSY)
  }
  const showAnswered = () => { delete root.dataset.busy }

  // ---- resync: a change was lost on the way, so everything is asked for again -----------------------------------------

  let sequence = 0, revision = 0
  const resync = (reason) => { sequence = 0; emit('resync', reason) }
  // waved may publish the first cards before it has noted who wants them (its two queues are read in any order).
  const askAgain = () => {
    if (document.querySelector('[data-test="marker"] [data-rev]')) return
    resync('nothing came')
    setTimeout(askAgain, 3000)
  }
  const checkSequence = () => {
    const mark = document.querySelector('[data-test="marker"] [data-seq]')
    if (!mark) return
    const next = Number(mark.dataset.seq), rev = Number(mark.dataset.rev)
    if (next === sequence && rev === revision) return
    if (sequence && next > sequence + 1) { resync(`missed ${next - sequence - 1}`); return }
    if (rev !== revision) showAnswered()
    sequence = next
    revision = rev
  }

  // ---- clicks: actions of our own header, the skip link, second clicks --------------------------------------------------

  let lastButton = null, lastAt = 0
  // A press on a row's menu must not choose the row too: the table would be drawn anew and the menu close again.
  for (const kind of ['mousedown', 'click']) {
    document.addEventListener(kind, (event) => {
      const menu = event.target.closest?.('[data-test="commands"]')
      if (menu) menu.setAttribute('data-selection-disabled', 'true')
    }, true)
  }

  document.addEventListener('click', (event) => {
    const target = event.target instanceof Element ? event.target : null
    if (!target) return
    const button = target.closest('button[data-test]')
    if (button) {
      const now = performance.now()
      if (event.detail > 1 && button === lastButton && now - lastAt < SECOND_CLICK) {
        event.stopPropagation()
        event.preventDefault()
      }
      lastButton = button
      lastAt = now
    }
    const action = target.closest('[data-test="header"] [data-action^="studio."]')
    if (action) emit(action.dataset.action.slice('studio.'.length), true)
    if (target.closest('[data-skip]')) {
      event.preventDefault()
      const content = document.querySelector('[data-test="content"]')
      if (content) { content.tabIndex = -1; content.focus() }
    }
    const menu = document.querySelector('.ls-menu[open]')
    if (menu && (target.closest('.ls-menu a') || !target.closest('.ls-menu'))) menu.open = false
  }, true)
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return
    const menu = document.querySelector('.ls-menu[open]')
    if (menu) { menu.open = false; menu.querySelector('summary').focus() }
    const shut = document.querySelector('.ms-Panel-closeButton, .ms-Dialog-button--close')
    if (shut) shut.click()
  })
  window.addEventListener('hashchange', (event) => {
    const subject = (address) => (address.split('#')[1] || '').split('?')[0].split('/').slice(0, 2).join('/')
    if (subject(event.oldURL) === subject(event.newURL)) return
    for (let place = document.querySelector('[data-test="content"]'); place; place = place.parentElement) place.scrollTop = 0
  })

  // ---- new experiment: the section list jumps; addresses after "#" are pages, so links within a page cannot ------------

  document.addEventListener('click', (event) => {
    const jump = event.target instanceof Element ? event.target.closest('[data-jump]') : null
    const place = jump && document.querySelector(`[data-test="${CSS.escape(jump.dataset.jump)}"]`)
    if (!place) return
    place.scrollIntoView({ block: 'start' })
    place.tabIndex = -1
    place.focus({ preventScroll: true })
  })

  // ---- text areas: a limit with words ---------------------------------------------------------------------------------

  document.addEventListener('focusin', (event) => {
    if (event.target instanceof HTMLTextAreaElement) event.target.maxLength = LONGEST_TEXT
  })
  document.addEventListener('input', (event) => {
    const area = event.target
    if (!(area instanceof HTMLTextAreaElement)) return
    const full = area.value.length >= LONGEST_TEXT
    let words = area.parentElement.parentElement.querySelector('.ls-limit')
    if (full && !words) {
      words = document.createElement('p')
      words.className = 'ls-limit'
      words.setAttribute('role', 'alert')
      words.textContent = `This field holds at most ${LONGEST_TEXT.toLocaleString('en')} characters. Put longer text in a file and upload it.`
      area.parentElement.parentElement.append(words)
    } else if (!full && words) words.remove()
  })

  // ---- chat: Enter sends, a button copies an answer as it was written -------------------------------------------------

  document.addEventListener('keydown', (event) => {
    const area = event.target
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || !(area instanceof HTMLTextAreaElement)) return
    if (area.dataset.test !== 'chat_prompt') return
    event.preventDefault()
    const send = document.querySelector('button[data-test="send"]')
    if (send && area.value.trim()) send.click()
  })
  document.addEventListener('click', async (event) => {
    const button = event.target instanceof Element ? event.target.closest('button[data-copy]') : null
    if (!button) {
      const sends = event.target instanceof Element && event.target.closest('[data-test="send"], [data-test^="suggest/"]')
      if (sends) for (const talk of document.querySelectorAll('[data-test^="talk_"]')) talk.dataset.away = 'no'
      return
    }
    try {
      await navigator.clipboard.writeText(button.dataset.copy)
      button.textContent = 'Copied'
    } catch { button.textContent = 'The browser does not allow it' }
    setTimeout(() => { button.textContent = 'Copy' }, 2000)
  })

  // ---- charts -----------------------------------------------------------------------------------------------------------

  const charts = (() => {
    const
      // Okabe and Ito's palette: eight colours that colour-blind people can tell apart, darker on white, lighter on black.
      COLOURS = {
        light: ['#0072b2', '#d55e00', '#00805e', '#b0568f', '#8a6d00', '#8f1d2c', '#4d4d4d', '#7a3fb0'],
        dark: ['#56b4e9', '#ff8c42', '#2fcf9f', '#e29ac6', '#f0e442', '#ff8fa3', '#b8bec9', '#c79bff']
      },
      INK = {
        light: { text: '#4c5563', grid: '#e6e9ee', line: '#c9ced6', card: '#ffffff' },
        dark: { text: '#a8b0bd', grid: '#252a33', line: '#3b424e', card: '#16191f' }
      },
      shown = new Map()  // element -> {json, theme}
    let library = null

    const plotly = () => library ||= new Promise((resolve, reject) => {
      const script = document.createElement('script')
      script.src = `/studio/plotly.min.js${version}`
      script.onload = () => resolve(window.Plotly)
      script.onerror = () => { library = null; reject(new Error('plotly did not load')) }
      document.head.appendChild(script)
    })

    const pale = (colour) => `${colour}55`

    const trace = (series, palette) => {
      const colour = palette[series.colour % palette.length]
      const line = { color: series.faint ? pale(colour) : colour, width: series.faint ? 1 : 2, dash: series.dashed ? 'dot' : 'solid' }
      const common = {
        name: series.name, x: series.x, y: series.y, showlegend: !series.faint,
        hovertemplate: series.hover.length ? '%{text}<extra>%{fullData.name}</extra>' : undefined,
        text: series.hover.length ? series.hover.map(escapeText) : undefined
      }
      if (series.kind === 'bar') return { ...common, type: 'bar', textposition: 'none', marker: { color: line.color } }
      const mode = series.kind === 'scatter' ? 'markers' : series.markers || series.x.length === 1 ? 'lines+markers' : 'lines'
      return { ...common, type: 'scatter', mode, line, marker: { color: line.color, size: 6 }, connectgaps: false, hoverinfo: series.faint ? 'skip' : undefined }
    }

    // plotly reads a little HTML in names and labels
    const escapeText = (words) => String(words).replace(/&/g, '&amp;').replace(/</g, '&lt;')

    const axis = (spec, ink) => ({
      title: { text: escapeText(spec.title), font: { size: 11, color: ink.text }, standoff: 6 },
      type: spec.log ? 'log' : undefined, range: spec.range || undefined,
      gridcolor: ink.grid, linecolor: ink.line, zeroline: false, automargin: true, tickfont: { size: 11, color: ink.text }, nticks: 6
    })

    const layout = (figure, theme, element) => {
      const ink = INK[theme], named = figure.series.filter((series) => !series.faint)
      return {
        uirevision: figure.id, autosize: true, height: element.clientHeight, width: element.clientWidth,
        margin: { l: 52, r: 12, t: 8, b: 40 }, paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
        font: { family: 'Inter, sans-serif', size: 12, color: ink.text },
        colorway: COLOURS[theme], showlegend: named.length > 1 && figure.legend !== false,
        legend: { orientation: 'h', x: 0, y: 1.02, xanchor: 'left', yanchor: 'bottom', font: { size: 11 } },
        hovermode: 'x unified', hoverlabel: { bgcolor: ink.card, bordercolor: ink.line, font: { size: 12 } },
        bargap: 0.08, dragmode: 'zoom',
        xaxis: { ...axis(figure.x, ink), ...(figure.x.log ? { tick0: Math.log10(32), dtick: Math.log10(2), tickformat: ',d' } : {}) }, yaxis: axis(figure.y, ink),
        shapes: figure.marks.map((mark) => ({ type: 'line', x0: mark.x, x1: mark.x, yref: 'paper', y0: 0, y1: 1, line: { color: ink.line, width: 1, dash: 'dash' } })),
        annotations: figure.marks.filter((mark) => mark.text).map((mark) => ({
          x: mark.x, yref: 'paper', y: 1, yanchor: 'top', xanchor: 'left', text: escapeText(mark.text), showarrow: false, font: { size: 10, color: ink.text }
        }))
      }
    }

    const draw = async (element, json) => {
      const theme = root.dataset.theme === 'dark' ? 'dark' : 'light'
      const figure = JSON.parse(json)
      shown.set(element, { json, theme })
      if (figure.empty) {
        if (element.classList.contains('js-plotly-plot') && window.Plotly) { window.Plotly.purge(element); delete element.dataset.click }
        const words = document.createElement('p')
        words.className = 'ls-chart-empty'
        words.textContent = figure.empty
        element.replaceChildren(words)
        return
      }
      let Plotly
      try { Plotly = await plotly() } catch (error) { element.textContent = String(error.message); return }
      const now = shown.get(element)
      if (!now || now.json !== json || !element.isConnected) return
      if (!element.classList.contains('js-plotly-plot')) element.replaceChildren()
      await Plotly.react(element, figure.series.map((series) => trace({ ...series, name: escapeText(series.name) }, COLOURS[theme])), layout(figure, theme, element), {
        displaylogo: false, responsive: false, displayModeBar: 'hover',
        modeBarButtonsToRemove: ['select2d', 'lasso2d', 'autoScale2d', 'zoomIn2d', 'zoomOut2d'],
        toImageButtonOptions: { format: 'png', filename: figure.title.replace(/[^\w -]+/g, '') || 'chart', scale: 2 }
      })
      if (figure.click && !element.dataset.click) {
        element.on('plotly_click', (event) => {
          const point = event.points && event.points[0]
          if (point) location.hash = element.dataset.click.replace('{x}', encodeURIComponent(point.x))
        })
      }
      if (figure.click) element.dataset.click = figure.click
      element.dataset.points = String(figure.series.reduce((sum, series) => sum + series.y.length, 0))
      element.dataset.drawn = String(Number(element.dataset.drawn || 0) + 1)
    }

    const sizes = new ResizeObserver((entries) => {
      for (const { target } of entries) {
        if (window.Plotly && target.classList.contains('js-plotly-plot') && target.clientWidth) {
          window.Plotly.relayout(target, { width: target.clientWidth, height: target.clientHeight })
        }
      }
    })

    const sync = () => {
      for (const element of [...shown.keys()]) {
        if (!element.isConnected) {
          sizes.unobserve(element)
          shown.delete(element)
          if (window.Plotly) window.Plotly.purge(element)
        }
      }
      for (const data of document.querySelectorAll('.ls-chart-data')) {
        const element = document.querySelector(`.ls-chart[data-chart="${CSS.escape(data.dataset.for)}"]`)
        if (!element) continue
        const before = shown.get(element), json = data.textContent
        if (!before) sizes.observe(element)
        if (!before || before.json !== json) draw(element, json)
      }
    }

    const redrawAll = () => { for (const [element, { json }] of shown) draw(element, json) }
    return { sync, redrawAll }
  })()

  // ---- everything that follows from new cards ---------------------------------------------------------------------------

  let downloaded = ''
  const follow = () => {
    const theme = document.querySelector('[data-studio-theme]')
    if (theme) setTheme(theme.dataset.studioTheme)
    const crumbs = document.querySelector('[data-title]')
    if (crumbs && document.title !== crumbs.dataset.title) document.title = crumbs.dataset.title
    const link = document.querySelector('[data-test="marker"] a[data-download]')
    if (link && link.getAttribute('href') !== downloaded) {
      downloaded = link.getAttribute('href')
      link.click()
    }
    for (const log of document.querySelectorAll(FOLLOWING)) {
      const place = log.closest('[data-test]') || log
      if (place.dataset.away !== 'yes') log.scrollTop = log.scrollHeight
    }
    checkSequence()
    charts.sync()
  }
  document.addEventListener('scroll', (event) => {
    const log = event.target
    if (!(log instanceof Element) || !log.matches(FOLLOWING)) return
    const place = log.closest('[data-test]') || log
    place.dataset.away = log.scrollHeight - log.scrollTop - log.clientHeight > 40 ? 'yes' : 'no'
  }, true)

  let waiting = false
  const later = () => {
    if (waiting) return
    waiting = true
    queueMicrotask(() => { waiting = false; follow() })
  }
  try { root.dataset.theme = localStorage.getItem('studio-theme') === 'dark' ? 'dark' : 'light' } catch { root.dataset.theme = 'light' }
  document.addEventListener('DOMContentLoaded', () => {
    new MutationObserver(later).observe(document.body, { childList: true, subtree: true, characterData: true })
    later()
  })
})()
