-- Tables of the service itself. Times are milliseconds since 1970; texts are compared byte by byte.
-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS borrados (
    maquina_id   BIGINT       NOT NULL,
    codigo       VARCHAR(191) NOT NULL,
    borrada_ms   BIGINT       NOT NULL,
    siguiente_ms BIGINT       NOT NULL,
    barrida      TINYINT      NOT NULL,
    PRIMARY KEY (maquina_id),
    KEY borrados_siguiente (siguiente_ms),
    KEY borrados_barrida (barrida, borrada_ms)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS idempotencia (
    id         CHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    huella     CHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    codigo     VARCHAR(191) NOT NULL,
    maquina_id BIGINT       NOT NULL,
    creada_ms  BIGINT       NOT NULL,
    PRIMARY KEY (id),
    KEY idempotencia_creada (creada_ms)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS revocaciones (
    sesion    VARCHAR(191) NOT NULL,
    expira_ms BIGINT       NOT NULL,
    creada_ms BIGINT       NOT NULL,
    PRIMARY KEY (sesion),
    KEY revocaciones_creada (creada_ms),
    KEY revocaciones_expira (expira_ms)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
