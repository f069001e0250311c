// What every engine starts with: scopes, expressions, component scripts (see script.py).
//
// Locals stay JavaScript objects, so that functions and lists a component's script makes live on in its
// expressions. Built-in functions are taken aside first: a script may overwrite its own, not these.
//
// The day of compiling is no part of a template, and compiling must give the same every time: `new Date()`
// without arguments knows only its year, which is a Jinja expression that is filled in when mail is rendered
// (a year frozen at the build is a footer that is wrong every January). Other readings of it throw. Dates
// with arguments are ordinary. This engine knows no languages and would write numbers and dates the same for all.
(MAX => {
  const {parse, stringify} = JSON, {assign, create, keys: names} = Object, RealDate = Date, clock = Date.now;
  const isArray = Array.isArray;
  let spent = 0;
  const timed = work => (...args) => {
    if (spent > MAX) throw new InternalError('interrupted');
    const start = clock();
    try { return work(...args); } finally { spent += clock() - start; }
  };

  const refuse = () => { throw new RangeError('the day of compiling is no part of a template'); };
  const YEAR = {
    toString: () => '__YEAR__', toJSON: () => '__YEAR__',
    [Symbol.toPrimitive]: hint => hint === 'number' ? refuse() : '__YEAR__',
  };
  class Today {
    getFullYear() { return YEAR; }
    getUTCFullYear() { return YEAR; }
  }
  for (const name of Object.getOwnPropertyNames(RealDate.prototype)) {
    if (!(name in Today.prototype) || name.startsWith('to') || name === 'valueOf') Today.prototype[name] = refuse;
  }
  Today.prototype[Symbol.toPrimitive] = refuse;
  Today.prototype.constructor = Today;
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args) => args.length ? Reflect.construct(target, args) : new Today(),
    apply: refuse,
    get: (target, name) => name === 'now' ? refuse : Reflect.get(target, name),
  });
  const tongueless = () => { throw new RangeError('languages are not known here; print it with @{{ value|number }} or |date'); };
  for (const [of, ends] of [[RealDate, ['', 'Date', 'Time']], [Number, ['']], [BigInt, ['']]]) {
    for (const end of ends) of.prototype[`toLocale${end}String`] = tongueless;
  }
  let seed = 1;
  Math.random = () => (seed = seed * 16807 % 2147483647) / 2147483647;

  const clean = value => value.replace(/[\0\p{Cs}]/gu, '\ufffd');
  const plain = value => value !== null && typeof value === 'object' && !isArray(value);
  const merged = (into, from) => {
    for (const name of names(from)) {
      const old = into[name], value = from[name];
      if (isArray(old)) into[name] = old.concat(value);
      else if (plain(old) && plain(value)) into[name] = merged(assign({}, old), value);
      else if (value !== undefined) into[name] = value;
    }
    return into;
  };
  let ids = 0;
  const path = way => isArray(way) ? way : String(way).split(/[.[\]]+/).filter(part => part !== '');
  const utilities = {
    each: (list, call) => { for (const name of names(list)) { if (call(list[name], name) === false) break; } },
    defaults: (into, ...all) => { for (const one of all) for (const k in one) into[k] ??= one[k]; return into; },
    assign, merge: (into, ...all) => all.reduce(merged, into),
    get: (from, way, otherwise) => path(way).reduce((at, name) => at?.[name], from) ?? otherwise,
    has: (from, way) => { for (const k of path(way)) { if (from == null || !Object.hasOwn(from, k)) return false; from = from[k]; } return true; },
    isPlainObject: plain, isObject: value => value !== null && typeof value === 'object', isArray,
    isEmpty: value => value == null || typeof value !== 'object' && typeof value !== 'string' || !names(value).length,
    isBoolean: value => typeof value === 'boolean', isUndefined: value => value === undefined,
    isNull: value => value === null, isNil: value => value == null,
    uniqueId: (prefix = '') => `${prefix}${++ids}`, isEnabled: value => value === true || value === '',
  };
  const quiet = () => undefined;
  const console = {log: quiet, info: quiet, warn: quiet, error: quiet, debug: quiet};
  const require = () => { throw new RangeError('modules are not available'); };

  const read = value => {
    if (typeof value !== 'string') return value;
    try { return parse(value); } catch { return value; }
  };
  const plainly = function () { with (arguments[0]) { return eval(arguments[1]); } };
  const evaluate = (scope, code) => {
    // An object in braces is a block to JavaScript; authors mean the object.
    if (/^\s*\{/.test(code)) try { return plainly(scope, `(${code})`); } catch (failure) { if (!(failure instanceof SyntaxError)) throw failure; }
    return plainly(scope, code);
  };
  const value = (scope, code) => {
    if (/^\w+$/.test(code)) {
      if (code in scope) return scope[code];
      // Names of the language itself (escape, toString) are nobody's variables.
      if (!/^\d|^(?:undefined|null|true|false|NaN|Infinity|this)$/.test(code)) throw new ReferenceError(`${code} is not defined`);
    }
    return evaluate(scope, code);
  };
  const printed = got => {
    if (got === undefined || got === null) return 'u';
    if (typeof got === 'function' || typeof got === 'symbol') return 'f';
    const text = typeof got !== 'object' || got === YEAR ? String(got) : stringify(got) ?? '';
    // Joined, not added: the binding cannot read what adding long strings makes (a rope).
    return ['s', clean(text)].join('');
  };

  return {
    scope: (base, json) => assign(create(base ?? null), parse(json)),
    print: timed((scope, code) => printed(value(scope, code))),
    truth: timed((scope, code) => !!value(scope, code)),
    which: timed((scope, code, json) => {
      const got = value(scope, code);
      return parse(json).findIndex(one => got === value(scope, one));
    }),
    items: timed((scope, code) => {
      const target = value(scope, code);
      if (target === null || typeof target !== 'object') return target === undefined || target === null ? -1 : -2;
      // One holder for each scope would mix up loops that nest over the same names.
      scope.$loops = [...(scope.$loops ?? []), target];
      return isArray(target) ? target.length : names(target).length;
    }),
    item: timed((scope, index, first, second) => {
      const target = scope.$loops.at(-1), all = isArray(target) ? null : names(target);
      const length = all ? all.length : target.length, key = all ? all[index] : index, inner = create(scope);
      inner[first] = target[key];
      if (second) inner[second] = key;
      inner.loop = {index, remaining: length - index - 1, first: index === 0, last: index + 1 === length, length};
      return inner;
    }),
    done: scope => { scope.$loops = scope.$loops.slice(0, -1); },
    within: timed((scope, code) => {
      const target = value(scope, code);
      return plain(target) ? assign(create(scope), target) : null;
    }),
    component: timed((base, aware, json, scripts) => {
      const call = parse(json), given = {};
      for (const [name, text] of call.attributes) given[name] = read(text);
      for (const name of ['props', 'locals']) {
        if (!plain(given[name])) continue;
        const more = given[name];
        delete given[name];
        call.merge.includes(name) ? merged(given, more) : assign(given, more);
      }
      const locals = assign(create(null), base, ...aware);
      call.merge.length ? merged(locals, given) : assign(locals, given);
      const slots = call.slots;
      for (const name of names(slots)) {
        const props = {};
        for (const [key, text] of slots[name].attributes) props[key] = read(text);
        slots[name] = {filled: true, rendered: false, tag: `fill:${name}`, attrs: props, props, locals: props,
          source: slots[name].source, content: [slots[name].source]};
      }
      const declared = {};
      for (const code of parse(scripts)) {
        const props = assign({}, locals), module = {exports: undefined};
        const context = {...utilities, console, require, module, exports: {}, props, locals: props, $slots: slots};
        const exported = context.exports, got = plainly(context, code);
        if (plain(module.exports)) assign(declared, module.exports);
        else if (names(exported).length) assign(declared, exported);
        else if (plain(got)) assign(declared, got);
        else for (const k of names(context.props)) if (context.props[k] !== locals[k]) declared[k] = context.props[k];
      }
      assign(locals, declared);
      locals.$slots = slots;
      const taken = new Set([...names(declared), ...aware.flatMap(names), 'page', '$slots', 'props', 'locals']);
      const landing = [];
      for (const [name, text] of names(given).map(name => [name, given[name]])) {
        if (taken.has(name)) continue;
        const written = call.attributes.find(one => one[0] === name)?.[1] ?? text;
        if (written === null || typeof written === 'object') continue;
        landing.push([name, clean(String(written))]);
      }
      const passed = {};
      for (const name of call.aware) if (name in locals) passed[name] = locals[name];
      return {locals, declared: stringify([...taken]), landing: stringify(landing), passed};
    }),
    locals: made => made.locals,
    declared: made => made.declared,
    landing: made => made.landing,
    passed: made => made.passed,
    list: () => [],
    longer: (list, one) => [...list, one],
  };
})
