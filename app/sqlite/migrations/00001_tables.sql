-- The tables of the MySQL schema and, since there is no MongoDB beside this file, those of the maintenance records. Texts are
-- compared byte by byte, which is SQLite's default. AUTOINCREMENT keeps the numbers of removed rows from being used again.
-- +goose Up
CREATE TABLE IF NOT EXISTS usuarios (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    clave           TEXT NOT NULL UNIQUE,
    nombre_completo TEXT NOT NULL,
    username        TEXT NOT NULL,
    password        TEXT NOT NULL,
    rol             TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS maquinas (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    clave   TEXT NOT NULL UNIQUE,
    codigo  TEXT NOT NULL,
    tipo    TEXT NOT NULL,
    estado  TEXT NOT NULL,
    area    TEXT NOT NULL,
    fecha   TEXT NOT NULL,
    usuario TEXT,
    version INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX IF NOT EXISTS maquinas_tipo ON maquinas (tipo, clave);
CREATE INDEX IF NOT EXISTS maquinas_estado ON maquinas (estado, clave);
CREATE INDEX IF NOT EXISTS maquinas_area ON maquinas (area, clave);
CREATE INDEX IF NOT EXISTS maquinas_fecha ON maquinas (fecha, clave);

CREATE TABLE IF NOT EXISTS borrados (
    maquina_id   INTEGER PRIMARY KEY,
    codigo       TEXT NOT NULL,
    borrada_ms   INTEGER NOT NULL,
    siguiente_ms INTEGER NOT NULL,
    barrida      INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS borrados_siguiente ON borrados (siguiente_ms);
CREATE INDEX IF NOT EXISTS borrados_barrida ON borrados (barrida, borrada_ms);

CREATE TABLE IF NOT EXISTS idempotencia (
    id         TEXT PRIMARY KEY,
    huella     TEXT NOT NULL,
    codigo     TEXT NOT NULL,
    maquina_id INTEGER NOT NULL,
    creada_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS idempotencia_creada ON idempotencia (creada_ms);

CREATE TABLE IF NOT EXISTS revocaciones (
    sesion    TEXT PRIMARY KEY,
    expira_ms INTEGER NOT NULL,
    creada_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS revocaciones_creada ON revocaciones (creada_ms);
CREATE INDEX IF NOT EXISTS revocaciones_expira ON revocaciones (expira_ms);

CREATE TABLE IF NOT EXISTS mantenimientos (
    id            TEXT PRIMARY KEY,
    maquina_id    INTEGER NOT NULL,
    codigo        TEXT NOT NULL,
    clave         TEXT NOT NULL,
    empresa       TEXT NOT NULL,
    tecnico       TEXT NOT NULL,
    tipo          TEXT,
    fecha         TEXT NOT NULL,
    observaciones TEXT NOT NULL,
    usuario       TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS mantenimientos_fecha ON mantenimientos (fecha, id);
CREATE INDEX IF NOT EXISTS mantenimientos_maquina ON mantenimientos (maquina_id, fecha, id);
CREATE INDEX IF NOT EXISTS mantenimientos_tipo ON mantenimientos (tipo, fecha);

CREATE TABLE IF NOT EXISTS idempotencia_mantenimientos (
    id               TEXT PRIMARY KEY,
    huella           TEXT NOT NULL,
    mantenimiento_id TEXT NOT NULL,
    maquina_id       INTEGER NOT NULL,
    codigo           TEXT NOT NULL,
    creada_ms        INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS idempotencia_mantenimientos_creada ON idempotencia_mantenimientos (creada_ms);
