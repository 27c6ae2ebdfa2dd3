// The shop's own script: what any shop has (cart, checkout, GA4's data layer), and the consent banner.
// The promotion, and all that is sent to the network, is the tag's.
(function () {
  'use strict';

  window.tailor = window.tailor || function () { (tailor.q = tailor.q || []).push(arguments); };
  window.dataLayer = window.dataLayer || [];

  const find = (selector) => document.querySelector(selector);
  const all = (selector) => document.querySelectorAll(selector);
  const money = (amount) => '$' + amount.toFixed(2);

  // ---- Cart: kept in this tab, for it works without any consent.

  const cart = () => JSON.parse(sessionStorage.getItem('cart') || '[]');

  function keep(rows) {
    sessionStorage.setItem('cart', JSON.stringify(rows));
    drawCart();
  }

  function drawCart() {
    const rows = cart();
    const count = rows.reduce((sum, row) => sum + row.quantity, 0);
    const badge = find('[data-cart-count]');
    badge.textContent = count;
    badge.setAttribute('aria-label', count + (count === 1 ? ' thing' : ' things') + ' in it');
    const list = find('[data-cart-rows]');
    if (!list) return;
    find('[data-cart-full]').hidden = !rows.length;
    find('[data-cart-empty]').hidden = rows.length > 0 || !find('[data-thanks]').hidden;
    find('[data-cart-total]').textContent = money(rows.reduce((sum, row) => sum + row.price * row.quantity, 0));
    list.replaceChildren(...rows.map((row) => {
      const line = find('[data-cart-row]').content.firstElementChild.cloneNode(true);
      line.querySelector('img').src = '/image/' + row.item + '.svg';
      line.querySelector('a').href = '/product/' + row.item;
      line.querySelector('a').textContent = row.title;
      line.querySelector('.amount').textContent = row.quantity + ' ×';
      line.querySelector('.price').textContent = money(row.price);
      const remove = line.querySelector('button');
      remove.setAttribute('aria-label', 'Remove ' + row.title);
      remove.addEventListener('click', () => keep(cart().filter((one) => one.item !== row.item)));
      return line;
    }));
  }

  const thing = (element) => ({
    item: element.dataset.item, title: element.dataset.title, price: Number(element.dataset.price), quantity: 1,
  });

  // As any shop with GA4 does.
  function tellAnalytics(event, rows) {
    dataLayer.push({
      event,
      ecommerce: {
        currency: 'USD',
        value: rows.reduce((sum, row) => sum + row.price * row.quantity, 0),
        items: rows.map((row) => ({
          item_id: row.item, item_name: row.title, price: row.price, quantity: row.quantity,
        })),
      },
    });
  }

  function add(event) {
    event.preventDefault();
    const row = thing(event.target);
    const chosen = event.target.elements.quantity;
    row.quantity = chosen ? Number(chosen.value) : 1;
    const rows = cart();
    const same = rows.find((one) => one.item === row.item);
    if (same) same.quantity += row.quantity;
    else rows.push(row);
    keep(rows);
    tellAnalytics('add_to_cart', [row]);
    toast(row.title + ' is in your cart.');
  }

  function checkOut() {
    tellAnalytics('purchase', cart());
    find('[data-order]').textContent = 'no. ' + (1000 + Math.floor(Math.random() * 9000));
    find('[data-thanks]').hidden = false;
    keep([]);
    find('[data-thanks]').focus();
  }

  // ---- Consent. A refusal is remembered in this tab only.

  let agreed = [];

  function showConsent(purposes) {
    agreed = purposes;
    find('[data-consent-banner]').hidden = purposes.length > 0 || sessionStorage.getItem('refused') === 'yes';
    find('[data-agreed]').textContent = purposes.includes('cross_site') ? 'Remembering: both shops'
      : purposes.length ? 'Remembering: this shop only' : 'Remembering: nothing';
  }

  function choose(event) {
    const purposes = event.target.dataset.consent.split(' ').filter(Boolean);
    if (purposes.length) sessionStorage.removeItem('refused');
    else sessionStorage.setItem('refused', 'yes');
    tailor('consent', purposes);
    showConsent(purposes);
  }

  function openMine() {
    if (agreed.length) tailor('me');
    else toast('Nothing is remembered about you here.');
  }

  // ---- What the tag tells.

  const NOTES = { tailored: 'Picked for you', popularity: 'What everybody likes' };

  tailor('on', (event) => {
    if (event.type === 'consent') showConsent(event.purposes);
    const note = find('[data-offer-note]');
    if (event.type === 'promotion' && note) note.textContent = NOTES[event.strategy] || 'Today';
  });

  let fading = 0;

  function toast(text) {
    const place = find('[data-toast]');
    place.textContent = text;
    place.classList.add('shown');
    clearTimeout(fading);
    fading = setTimeout(() => place.classList.remove('shown'), 2600);
  }

  document.addEventListener('DOMContentLoaded', () => {
    drawCart();
    const product = find('[data-product]');
    if (product) tellAnalytics('view_item', [thing(product)]);
    all('[data-add]').forEach((form) => form.addEventListener('submit', add));
    all('[data-consent]').forEach((button) => button.addEventListener('click', choose));
    all('[data-me]').forEach((button) => button.addEventListener('click', openMine));
    all('[data-checkout]').forEach((button) => button.addEventListener('click', checkOut));
    find('[data-choices]').addEventListener('click', () => {
      find('[data-consent-banner]').hidden = false;
      find('[data-consent-banner] button').focus();
    });
  });
}());
