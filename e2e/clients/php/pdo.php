<?php
// PHP's PDO: prepared statements that it deallocates with SQL, and emulated ones.

function equal($got, $want): void
{
    if ($got !== $want) {
        throw new Exception('got ' . var_export($got, true) . ', want ' . var_export($want, true));
    }
}

$dsn = 'pgsql:host=' . getenv('PGHOST') . ';port=' . getenv('PGPORT') . ';dbname=' . getenv('PGDATABASE') . ';sslmode=' . getenv('PGSSLMODE');
$db = new PDO($dsn, getenv('PGUSER'), getenv('PGPASSWORD'), [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$everyByte = implode('', array_map('chr', range(0, 255)));

$fetch = function (string $sql, array $args = []) use ($db) {
    $statement = $db->prepare($sql);
    foreach (array_values($args) as $i => $arg) {
        $statement->bindValue($i + 1, $arg, PDO::PARAM_STR);
    }
    $statement->execute();
    return $statement->fetchAll(PDO::FETCH_NUM);
};
$put = function (string $key, string $value) use ($db): void {
    $statement = $db->prepare("SELECT cache_put('pdo', ?, ?)");
    $statement->bindValue(1, $key);
    $statement->bindValue(2, $value, PDO::PARAM_LOB);
    $statement->execute();
};
$get = fn (string $key) => $fetch("SELECT value FROM blob WHERE ns = 'pdo' AND key = ?", [$key]);

$steps = [
    'connect' => fn () => equal($fetch('SELECT 1'), [[1]]),
    'text' => function () use ($fetch, $put) {
        $put('text', 'héllo');
        equal($fetch("SELECT value_text FROM blob WHERE ns = 'pdo' AND key = ?", ['text']), [['héllo']]);
    },
    'binary' => function () use ($put, $get, $everyByte) {
        $put('bytes', $everyByte);
        equal(stream_get_contents($get('bytes')[0][0]), $everyByte);
    },
    'error' => function () use ($fetch) {
        try {
            $fetch("INSERT INTO blob (ns, key, value) VALUES ('pdo', 'text', 'again')");
        } catch (PDOException $e) {
            equal($e->getCode(), '23505');
            return;
        }
        throw new Exception('no error');
    },
    'transaction' => function () use ($db, $put, $get) {
        $db->beginTransaction();
        $put('tx', 'rolled back');
        $db->rollBack();
        equal($get('tx'), []);
        $db->beginTransaction();
        $put('tx', 'committed');
        $db->commit();
        equal(count($get('tx')), 1);
    },
    'invalidate' => function () use ($fetch, $get) {
        $fetch("SELECT cache_put('pdo', 'tagged', 'x', tags => ?)", ['{t}']);
        equal($fetch("SELECT invalidate_tags('pdo', 't')"), [[1]]);
        equal($get('tagged'), []);
    },
    'introspect' => function () use ($fetch) {
        $rows = $fetch("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = ?", ['blob']);
        equal(in_array(['value', 'bytea'], $rows, true), true);
    },
    'more' => function () use ($dsn) {
        $emulated = new PDO($dsn, getenv('PGUSER'), getenv('PGPASSWORD'), [PDO::ATTR_EMULATE_PREPARES => true, PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
        $statement = $emulated->prepare("SELECT value_text FROM blob WHERE ns = :ns AND key = :key");
        for ($i = 0; $i < 20; $i++) {
            $statement->execute(['ns' => 'pdo', 'key' => 'text']);
            equal($statement->fetchColumn(), 'héllo');
        }
    },
];
foreach ($steps as $name => $step) {
    try {
        $step();
        echo "$name: ok\n";
    } catch (Throwable $e) {
        echo "$name: " . strtok($e->getMessage(), "\n") . "\n";
    }
}
