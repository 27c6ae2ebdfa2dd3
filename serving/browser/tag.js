/*
 * The tag of a subscriber's site: consent, activity and the promotion. No dependencies, no build.
 * Served without comments and needless blanks (serving/browser/tag.py): under 5 KB gzipped.
 * Nothing here may throw into the page: what can fail is guarded, and counted in `tailor.errors`.
 * docs/reference.md, "The tag", is its manual.
 */
(function () {
  'use strict';

  const script = document.currentScript || document.querySelector('script[data-site]');
  const { site, key, mode } = script.dataset;
  const base = script.src.replace(/\/tag\.js.*/, '');
  const server = mode === 'server';
  const COOKIE = 'tailor_activity';
  // 13 months, counted from the first day: visits do not prolong it.
  const LIFE_S = 395 * 86400;

  // Calls made before this script has started wait in the queue of a stub.
  const stub = window.tailor || function () { (stub.q = stub.q || []).push(arguments); };
  window.tailor = stub;
  if (stub.loaded) return;
  stub.loaded = true;

  const tailor = guard((name, about) => commands[name](about));
  tailor.loaded = true;
  tailor.errors = 0;
  tailor.dropped = 0;

  function fault() { tailor.errors++; }

  function guard(work) {
    return function () {
      try { return work.apply(this, arguments); } catch (error) { fault(); }
    };
  }

  function on(target, type, work) { target.addEventListener(type, guard(work)); }

  const now = () => Math.floor(Date.now() / 1000);

  const hex = (bytes) => Array.from(crypto.getRandomValues(new Uint8Array(bytes)),
    (one) => (one + 256).toString(16).slice(1)).join('');

  // crypto.randomUUID is missing on pages without https.
  const uuid = () => hex(16).replace(/(.{8})(.{4}).(.{3}).(.{3})/, '$1-$2-4$3-a$4-');

  const webUrl = (text) => (/^https?:\/\//i.test(text) ? text : '');

  // ---- What is remembered: the cookie, and for this tab what belongs to the promotions shown.

  // With Global Privacy Control nothing crosses sites, whatever the site passes or kept.
  const allowed = (purposes) => ['same_site', 'cross_site'].filter((one) =>
    purposes.includes(one) && (one === 'same_site' || !navigator.globalPrivacyControl));

  function cookie(name) {
    const found = document.cookie.match('(?:^|; )' + name + '=([^;]*)');
    return found ? found[1] : '';
  }

  // In server mode the cookie is not ours to read: the service says beside it what was agreed to.
  function load() {
    const fresh = { v: 1, id: '', consent: [], events: [], site, t: now() };
    let state = fresh;
    try {
      const text = server ? sessionStorage[COOKIE] : cookie(COOKIE);
      state = JSON.parse(decodeURIComponent(escape(atob(text.replace(/-/g, '+').replace(/_/g, '/')))));
      state.t = Math.min(state.t, now());
      if (state.v !== 1 || state.site !== site || !(state.t > now() - LIFE_S)) state = fresh;
      state.events.push();
      state.consent = allowed(state.consent);
    } catch (error) { state = fresh; }
    if (server && !state.pending) state.consent = allowed(cookie('tailor_consent').split('.'));
    return state;
  }

  function save(state) {
    let pair;
    do {
      const text = btoa(unescape(encodeURIComponent(JSON.stringify(state))));
      pair = COOKIE + '=' + text.replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');
      // Browsers keep 4,096 bytes of a cookie, attributes included.
    } while (pair.length > 3999 && state.events.shift() && ++tailor.dropped);
    bake(pair, state.t + LIFE_S - now());
  }

  function bake(pair, age) {
    if (server) sessionStorage[COOKIE] = pair.slice(COOKIE.length + 1);
    else {
      document.cookie = pair + '; Path=/; SameSite=Lax; Max-Age=' + age
        + (location.protocol === 'https:' ? '; Secure' : '');
    }
  }

  // Outcomes not yet delivered, and promotions clicked, which a purchase may follow.
  function shown() {
    try { return JSON.parse(sessionStorage.tailor); } catch (error) { return { out: [], clicks: [] }; }
  }

  const keep = guard((kept) => {
    if (kept) sessionStorage.tailor = JSON.stringify(kept);
    else sessionStorage.removeItem('tailor');
  });

  // Whether there is somebody to speak of.
  function agreed() {
    const { id, consent } = load();
    return consent.length && (server || id);
  }

  const crossSite = () => load().consent.includes('cross_site');

  // Who is asking: nobody, unless the person agreed. In server mode the service reads its own cookie.
  function who(more) {
    const { id, consent } = load();
    const named = !server && agreed() ? { identifier: id, consent } : {};
    return { site_id: site, ...named, ...more };
  }

  // ---- The service.

  function post(path, body) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), 3000);
    return fetch(base + path, {
      method: 'POST',
      credentials: 'include',
      keepalive: true,
      signal: stop.signal,
      headers: { Authorization: 'Bearer ' + key, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    }).then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status)))
      .finally(() => clearTimeout(timer));
  }

  let contacts = Promise.resolve();
  let due = false;

  // All that a contact is for, in order: consent, then who it is, then what happened and what to show.
  function contact() {
    if (due) return;
    due = true;
    let fresh;
    contacts = contacts.then(() => { due = false; fresh = load().pending; return tell(); }).catch(fault)
      .then(identify).catch(fault)
      // Whoever has just agreed becomes known by what is sent now; later, nobody waits for it.
      .then(() => { const sent = flush(); return fresh && sent; }).catch(fault)
      .then(decide).catch(fault);
  }

  function tell() {
    const { id, consent, pending, reset } = load();
    if (!pending || !(server || id)) return;
    const said = server ? { mode, reset } : { identifier: id };
    return post('/consent', { site_id: site, purposes: consent, ...said }).then(() => {
      const state = load();
      if (state.consent.join() !== consent.join()) return;
      delete state.pending;
      delete state.reset;
      save(state);
      if (!consent.length) bake(COOKIE + '=', 0);
    });
  }

  // A token that came with the link from another site of the network, until it may be used.
  let link = '';

  function takeLink() {
    const found = location.search.match(/[?&]tailor_link=([^&]*)/);
    if (!found) return;
    link = decodeURIComponent(found[1]);
    const rest = location.href.replace(/([?&])tailor_link=[^&#]*&?/, '$1').replace(/[?&](#|$)/, '$1');
    history.replaceState(history.state, '', rest);
  }

  function identify() {
    const token = link;
    if (!token || !crossSite()) return;
    link = '';
    return post('/identities', who({ link: token })).catch((problem) => {
      // Refused is refused; what did not arrive is tried again.
      if (!(problem < 500)) link = token;
      fault();
    });
  }

  // What is on its way, if anything is.
  let sending = null;

  function flush() {
    const batch = load().events.concat(shown().out);
    // Events wait for the word that they are kept by.
    if (sending || !batch.length || !agreed() || load().pending) return sending;
    const asks = who();
    sending = post('/activity', { events: batch.map((event) => ({ ...event, ...asks })) }).then(
      // Erased or withdrawn elsewhere: the cookie says more than the service knows of.
      (answer) => !answer.withdrawn || commands.consent([]), (problem) => {
      fault();
      // What cannot be understood now never will be; all else is tried again on the next contact.
      const hopeless = [400, 413, 422].includes(problem);
      if (hopeless) tailor.dropped += batch.length;
      return hopeless;
    }).then((done) => {
      sending = null;
      if (!done) return;
      const open = (one) => !batch.some((other) => other.event_id === one.event_id);
      const state = load();
      const kept = shown();
      if (!agreed()) return;
      state.events = state.events.filter(open);
      save(state);
      kept.out = kept.out.filter(open);
      keep(kept);
      flush();
    }).catch(fault);
    return sending;
  }

  // ---- Activity.

  // What happened on this page before the person agreed; goes with the page.
  let held = [];

  function record(kind, about) {
    const { item_id, rating, quantity, value, currency } = about;
    if (!item_id) return fault();
    const event = { kind, item_id: String(item_id).slice(0, 256), rating, quantity, value, currency };
    const state = load();
    if (!state.consent.length) {
      held = held.concat(event).slice(0, 20);
      return;
    }
    state.id = state.id || uuid();
    state.events.push(stamp(event));
    save(state);
    const kept = shown();
    const click = kind === 'purchase' && kept.clicks.find((one) => one.item === event.item_id);
    if (click) {
      kept.clicks = kept.clicks.filter((one) => one !== click);
      keep(kept);
      outcome('conversion', click);
    }
    if (state.pending) contact();
    else flush();
  }

  const stamp = (event) => Object.assign(event, { event_id: hex(9), occurred_at: new Date().toISOString() });

  function outcome(kind, click) {
    if (!agreed()) return;
    const kept = shown();
    kept.out = kept.out.concat(stamp({ kind: 'promotion_' + kind, promotion_id: click.promotion, decision: click.token })).slice(-10);
    if (kind === 'click') kept.clicks = kept.clicks.concat(click).slice(-10);
    keep(kept);
    flush();
  }

  // ---- Pages, of sites that load them and of those that change them in place.

  let path = location.pathname;
  let item = script.dataset.item;
  let stale = '';
  let viewed = false;
  let timer = 0;

  const metaItem = () => (document.querySelector('meta[name="tailor:item"]') || {}).content;

  function view(named) {
    const meta = metaItem();
    clearTimeout(timer);
    viewed = true;
    item = named || item || (meta !== stale && meta) || path;
    record('page_view', { item_id: item });
  }

  function moved() {
    if (location.pathname === path) return;
    path = location.pathname;
    // What was said about the page before counts no longer; the site now draws the new one, and may name its item.
    item = '';
    stale = metaItem();
    held = [];
    clearTimeout(timer);
    timer = setTimeout(guard(() => { view(); contact(); }), 50);
  }

  function watchPages() {
    ['pushState', 'replaceState'].forEach((name) => {
      const real = history[name];
      history[name] = function () {
        const result = real.apply(this, arguments);
        guard(moved)();
        return result;
      };
    });
    on(window, 'popstate', moved);
    on(window, 'pageshow', (event) => {
      if (!event.persisted) return;
      view();
      contact();
    });
  }

  // ---- GA4's data layer: objects of Google Tag Manager, and arguments of gtag().

  function watchDataLayer() {
    const layer = (window.dataLayer = window.dataLayer || []);
    const real = layer.push;
    layer.forEach(guard(read));
    layer.push = function () {
      Array.from(arguments).forEach(guard(read));
      return real.apply(this, arguments);
    };
  }

  function read(entry) {
    const gtag = entry[0] === 'event';
    const kind = gtag ? entry[1] : entry.event;
    if (!['view_item', 'add_to_cart', 'add_to_wishlist', 'purchase'].includes(kind)) return;
    const { items, value, currency } = gtag ? entry[2] : entry.ecommerce;
    items.forEach((one) => record(kind, {
      item_id: one.item_id,
      quantity: one.quantity,
      value: one.price ? one.price * (one.quantity || 1) : items.length > 1 ? undefined : value,
      currency: one.currency || currency,
    }));
  }

  // ---- The promotion.

  const fallbacks = new WeakMap();
  let asked = 0;

  const placement = () => script.dataset.placement || (document.querySelector('[data-tailor]') || script).dataset.tailor;
  const container = () => document.querySelector('[data-tailor="' + CSS.escape(placement()) + '"]');

  function decide() {
    const mine = ++asked;
    if (!placement()) return;
    return post('/decisions', who({ placement: placement() })).then((answer) => {
      if (mine !== asked) return;
      const { promotion } = answer;
      if (promotion) show(promotion);
      else clear();
      emit({ ...answer, type: promotion ? 'promotion' : 'none' });
    });
  }

  // What the site itself had there comes back.
  function clear() {
    const place = container();
    if (fallbacks.has(place)) place.replaceChildren(...fallbacks.get(place));
  }

  // Only text and checked addresses go into the page, whatever the database holds.
  function element(name, className, text) {
    const made = document.createElement(name);
    made.className = 'tailor-' + className;
    made.textContent = text;
    return made;
  }

  function show(promotion) {
    const place = container();
    if (!place) return;
    if (!fallbacks.has(place)) fallbacks.set(place, Array.from(place.childNodes));
    const featured = promotion.item || {};
    const landing = webUrl(promotion.landing_url);
    const href = landing || webUrl(featured.url);
    const box = element('div', 'box', '');
    box.setAttribute('role', 'complementary');
    box.setAttribute('aria-label', 'Promotion');
    const body = element(href ? 'a' : 'div', 'promotion', '');
    if (href) {
      body.href = href;
      body.rel = 'noopener';
      if (!landing && featured.site_id !== site) body.dataset.tailorSite = featured.site_id;
    }
    const source = webUrl(promotion.image_url) || webUrl(featured.image_url);
    if (source) {
      const image = element('img', 'image', '');
      image.alt = '';
      image.loading = 'lazy';
      image.width = image.height = 160;
      image.src = source;
      body.append(image);
    }
    body.append(element('strong', 'title', promotion.title));
    if (promotion.body) body.append(' ', element('span', 'body', promotion.body));
    if (promotion.code) body.append(' ', element('code', 'code', promotion.code));
    box.append(body);
    const reasons = why(promotion.reasons || []);
    if (reasons.size) {
      const details = element('details', 'why', '');
      details.append(element('summary', 'question', 'Why this?'));
      reasons.forEach((reason) => details.append(element('p', 'reason', reason)));
      box.append(details);
    }
    place.replaceChildren(box);
    const click = { promotion: promotion.promotion_id, item: featured.item_id, token: promotion.token };
    on(body, 'click', () => outcome('click', click));
    watchVisible(body, () => outcome('view', click));
  }

  // What others may know of a site may be less than the title.
  const why = (reasons) => new Set(reasons.slice(0, 3).map((one) => 'Because ' + (one.title ? '' : 'of what ') + 'you '
    + ({ page_view: 'viewed', purchase: 'bought' }[one.kind] || 'looked into') + (one.title ? ' ' + one.title : '')
    + (one.site_id === site ? ' here' : ' at ' + one.site_name)));

  // Seen: half of it in view for one second.
  function watchVisible(target, seen) {
    let wait = 0;
    const observer = new IntersectionObserver(guard((entries) => {
      clearTimeout(wait);
      if (entries.pop().intersectionRatio < 0.5) return;
      wait = setTimeout(guard(() => {
        if (document.hidden || !target.isConnected) return;
        observer.disconnect();
        seen();
      }), 1000);
    }), { threshold: 0.5 });
    observer.observe(target);
  }

  // ---- Links to other sites of the network.

  let tokens = {};

  function linkOf(event) {
    const anchor = event.target.closest && event.target.closest('a[data-tailor-site]');
    return anchor && crossSite() && anchor;
  }

  function fetchToken(to) {
    const known = tokens[to];
    if (known && known.until > Date.now()) return known;
    const entry = { until: Date.now() + 60000 };
    entry.coming = post('/links', who({ to_site: to })).then((answer) => {
      entry.until = Date.parse(answer.expires_at) - 5000;
      entry.token = answer.token;
    }).catch(() => { fault(); entry.until = 0; });
    return (tokens[to] = entry);
  }

  function prepare(event) {
    const anchor = linkOf(event);
    if (anchor) fetchToken(anchor.dataset.tailorSite);
  }

  function follow(event) {
    const anchor = linkOf(event);
    if (!anchor || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey
      || event.altKey) return;
    const to = anchor.dataset.tailorSite;
    const entry = fetchToken(to);
    const { href } = anchor;
    const decorated = () => {
      const url = new URL(href);
      if (entry.token) url.search += (url.search ? '&' : '?') + 'tailor_link=' + encodeURIComponent(entry.token);
      return url.href;
    };
    // Each token is for one visit.
    delete tokens[to];
    if (entry.token) {
      anchor.href = decorated();
      setTimeout(() => { anchor.href = href; });
    } else if (!anchor.target) {
      event.preventDefault();
      Promise.race([entry.coming, new Promise((done) => { setTimeout(done, 300); })]).then(() => location.assign(decorated()));
    }
  }

  // ---- Commands.

  const listeners = [];

  function emit(event) { listeners.forEach((listener) => guard(listener)(event)); }

  const commands = {
    consent(purposes) {
      const state = load();
      const consent = allowed(purposes);
      if (consent.join() === state.consent.join()) return;
      tokens = {};
      Object.assign(state, { consent, pending: 1, id: state.id || uuid() });
      if (!consent.length) {
        state.events = [];
        keep();
        clear();
      }
      save(state);
      if (consent.length) held.splice(0).forEach((event) => record(event.kind, event));
      emit({ type: 'consent', purposes: consent });
      contact();
    },
    review(about) { record('product_review', about); },
    purchase(about) { [].concat(about).forEach((one) => record('purchase', one)); },
    page(about) {
      view(about && about.item_id);
      contact();
    },
    refresh: contact,
    reset() {
      const state = load();
      if (!agreed()) return;
      flush();
      keep();
      clear();
      tokens = {};
      save(Object.assign(state, { id: '', events: [], pending: 1, reset: server || undefined }));
      contact();
    },
    me() {
      const { site_id, identifier } = who();
      post('/me/links', { site_id, identifier }).then((answer) => {
        if (webUrl(answer.url)) location.assign(answer.url);
      }).catch(fault);
    },
    on(listener) { listeners.push(listener); },
  };

  function start() {
    const waiting = stub.q || [];
    window.tailor = tailor;
    // Whoever still holds the stub reaches us, too.
    stub.q = { push: (call) => tailor(...call) };
    watchPages();
    on(document, 'pointerover', prepare);
    on(document, 'focusin', prepare);
    on(document, 'click', follow);
    waiting.forEach((call) => tailor(...call));
    watchDataLayer();
    emit({ type: 'consent', purposes: load().consent });
    if (!viewed) view();
    contact();
  }

  guard(takeLink)();
  if (document.prerendering) on(document, 'prerenderingchange', start);
  else if (document.readyState === 'loading') on(document, 'DOMContentLoaded', start);
  else guard(start)();
}());
